"""The 36 claims of a talk on how frontier models are trained, served and priced, each recomputed from this project.

One module a theme; a claim is an equation over named inputs (`claim.Claim`), its verdict follows from the numbers
(`verdict`), and the smallest change of an input that flips the verdict is searched (`flip`).
"""
