"""ProcessPoolExecutor of the standard library, which keeps nothing: the limit on this machine."""

import sys
from concurrent.futures import ProcessPoolExecutor

import _bodies

if __name__ == "__main__":
    with ProcessPoolExecutor(16) as pool:
        list(pool.map(abs, range(64)))
        _bodies.begin()
        jobs = [pool.submit(_bodies.run, sys.argv[1], i) for i in range(int(sys.argv[2]))]
        for job in jobs:
            job.result()
        pool.submit(_bodies.finish).result()
        _bodies.stay()
