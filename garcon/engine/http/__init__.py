"""SWF's wire: AWS JSON 1.0 over HTTP."""
