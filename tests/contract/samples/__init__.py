"""The flows of garcon 0.0.4's documentation and the shapes of 1.x's examples, typing slips mended.

They are what existing users have: nothing here may be adapted to garcon.
"""
