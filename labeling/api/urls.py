"""Addresses of the labelling API."""

from django.urls import path
from rest_framework.authtoken.views import obtain_auth_token

from labeling.api import views

urlpatterns = [
    # /api/token/
    path("token/", obtain_auth_token, name="api-token"),
    # /api/projects/
    path("projects/", views.ProjectList.as_view(), name="api-projects"),
    path("projects/<slug:slug>/claim/", views.Claim.as_view(), name="api-claim"),
    path("projects/<slug:slug>/comparisons/", views.Comparisons.as_view(), name="api-comparisons"),
    path("projects/<slug:slug>/ratings/", views.Ratings.as_view(), name="api-ratings"),
    path("projects/<slug:slug>/demonstrations/", views.Demonstrations.as_view(), name="api-demonstrations"),
    # /api/assignments/<id>/
    path("assignments/<int:pk>/submit/", views.Submit.as_view(), name="api-submit"),
    path("assignments/<int:pk>/skip/", views.Skip.as_view(), name="api-skip"),
]
