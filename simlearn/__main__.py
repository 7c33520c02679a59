"""``python -m simlearn``."""

from simlearn.cli import main

if __name__ == "__main__":
    main()
