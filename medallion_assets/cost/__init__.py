"""What a month of the system costs on AWS, and of what a reader would consider instead, before there is a bill.

Belongs here: list prices and measurements as data, and the arithmetic between them. Does not belong here: printing
(cli), measuring (`make bench`), anything that asks AWS.
"""
