"""Pages of training: runs to watch."""

from django.urls import URLPattern

app_name = "training"
urlpatterns: list[URLPattern] = []
