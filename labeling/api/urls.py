"""Addresses of the labelling API."""

from django.urls import URLPattern

urlpatterns: list[URLPattern] = []
