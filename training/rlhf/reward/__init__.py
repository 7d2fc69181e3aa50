"""Reward models: trained from what people said, and measured."""
