"""A world in which the core lives: virtual processes, a virtual keeper, a seeded operator.

Everything that can go wrong between the manager and its workers goes wrong here, thousands of
times a second and in virtual time, and the invariants are asked after every step. What happens is
a function of the seed, so every failure can be played again: `python -m tests.simulation`.
"""
