"""Pages of training: runs to watch, samples to ask for."""

from django.urls import path

from training.views import runs, samples

app_name = "training"
urlpatterns = [
    # /runs/
    path("runs/", runs.run_list, name="runs"),
    path("runs/<int:pk>/", runs.run_detail, name="run"),
    path("runs/<int:pk>/progress/", runs.run_progress, name="progress"),
    path("runs/<int:pk>/cancel/", runs.cancel_run, name="cancel"),
    path("runs/<int:pk>/resume/", runs.resume_run, name="resume"),
    # /projects/<slug>/samples/
    path("projects/<slug:slug>/samples/", samples.samples, name="samples"),
]
