"""Pages for people who label."""

from django.urls import path

from labeling import views

app_name = "labeling"
urlpatterns = [
    path("", views.projects, name="projects"),
    # /projects/<slug>/
    path("projects/<slug:slug>/work/", views.work, name="work"),
    path("projects/<slug:slug>/claim/", views.claim, name="claim"),
    # /assignments/<id>/
    path("assignments/<int:pk>/submit/", views.submit, name="submit"),
    path("assignments/<int:pk>/skip/", views.skip, name="skip"),
    path("assignments/<int:pk>/renew/", views.renew, name="renew"),
]
