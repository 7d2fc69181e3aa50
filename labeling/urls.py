"""Pages of the labelling side."""

from django.urls import path

from labeling.views import guidelines, mine, work

app_name = "labeling"
urlpatterns = [
    path("", mine.projects, name="projects"),
    # /me/
    path("me/", mine.mine, name="mine"),
    # /projects/<slug>/
    path("projects/<slug:slug>/work/", work.work, name="work"),
    path("projects/<slug:slug>/guidelines/", guidelines.guidelines, name="guidelines"),
    path("projects/<slug:slug>/claim/", work.claim, name="claim"),
    # /assignments/<id>/
    path("assignments/<int:pk>/submit/", work.submit, name="submit"),
    path("assignments/<int:pk>/skip/", work.skip, name="skip"),
    path("assignments/<int:pk>/renew/", work.renew, name="renew"),
]
