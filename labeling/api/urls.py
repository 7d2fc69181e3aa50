"""URLs of the labelling API."""

from django.urls import path
from rest_framework.authtoken.views import obtain_auth_token

from labeling.api import assignments, imports, views

urlpatterns = [
    # /api/token/
    path("token/", obtain_auth_token, name="api-token"),
    # /api/projects/
    path("projects/", views.ProjectList.as_view(), name="api-projects"),
    path("projects/<slug:slug>/claim/", assignments.Claim.as_view(), name="api-claim"),
    path("projects/<slug:slug>/export/", views.ExportFile.as_view(), name="api-export"),
    path("projects/<slug:slug>/comparisons/", views.Comparisons.as_view(), name="api-comparisons"),
    path("projects/<slug:slug>/ratings/", views.Ratings.as_view(), name="api-ratings"),
    path("projects/<slug:slug>/demonstrations/", views.Demonstrations.as_view(), name="api-demonstrations"),
    path("projects/<slug:slug>/imports/", imports.Imports.as_view(), name="api-imports"),
    path("projects/<slug:slug>/imports/<int:pk>/", imports.ImportDetail.as_view(), name="api-import"),
    path(
        "projects/<slug:slug>/imports/<int:pk>/cancel/",
        imports.ImportCancel.as_view(),
        name="api-cancel-import",
    ),
    # /api/assignments/
    path("assignments/last/", assignments.EditableAssignments.as_view(), name="api-last-answers"),
    path("assignments/<int:pk>/submit/", assignments.Submit.as_view(), name="api-submit"),
    path("assignments/<int:pk>/revise/", assignments.Revise.as_view(), name="api-revise"),
    path("assignments/<int:pk>/draft/", assignments.SaveDraft.as_view(), name="api-draft"),
    path("assignments/<int:pk>/renew/", assignments.Renew.as_view(), name="api-renew"),
    path("assignments/<int:pk>/skip/", assignments.Skip.as_view(), name="api-skip"),
    path("assignments/<int:pk>/release/", assignments.Release.as_view(), name="api-release"),
    path("assignments/<int:pk>/take-again/", assignments.Reclaim.as_view(), name="api-take-again"),
]
