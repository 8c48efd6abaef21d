"""The built-in agent: a small language model on this machine, behind the command line of the Q CLI."""
