"""Metrics of a network: distance of its images from real ones, their diversity, and equivariance."""
