"""Pages of training: runs to watch, samples to ask for."""

from django.urls import path

from training import views

app_name = "training"
urlpatterns = [
    # /runs/
    path("runs/", views.run_list, name="runs"),
    path("runs/<int:pk>/", views.run_detail, name="run"),
    path("runs/<int:pk>/progress/", views.run_progress, name="progress"),
    path("runs/<int:pk>/cancel/", views.cancel_run, name="cancel"),
    path("runs/<int:pk>/resume/", views.resume_run, name="resume"),
    # /projects/<slug>/samples/
    path("projects/<slug:slug>/samples/", views.samples, name="samples"),
]
