"""Cost: estimate what a month of this system costs on AWS, and what a month of other designs costs.

Belongs here: list prices and measurements as data, and the arithmetic between them. Does not belong here: printing
(cli), measuring (`make bench`), anything that asks AWS.
"""
