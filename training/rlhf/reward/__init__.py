"""Reward models: training and evaluation."""
