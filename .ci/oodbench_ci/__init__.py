"""What the workflows do with pull requests: each step is a function here, and runs without GitHub too.

What a pull request brings is data to these modules. None imports a method, and none runs what it reads.
"""
