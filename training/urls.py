"""Pages of training: runs to watch, samples to ask for."""

from django.urls import path

from training.views import (
    dashboard,
    gates,
    leaderboard,
    models,
    notices,
    records,
    rounds,
    runs,
    samples,
    start,
    traces,
)

app_name = "training"
urlpatterns = [
    # /dashboard/, /projects/<slug>/
    path("dashboard/", dashboard.dashboard, name="dashboard"),
    path("projects/<slug:slug>/", dashboard.loop, name="loop"),
    # /projects/<slug>/rounds/
    path("projects/<slug:slug>/rounds/", rounds.rounds, name="rounds"),
    path("projects/<slug:slug>/rounds/begin/", rounds.begin_round, name="begin_round"),
    path("projects/<slug:slug>/rounds/stop/", rounds.stop_round, name="stop_round"),
    # /runs/
    path("runs/", runs.run_list, name="runs"),
    path("runs/estimate/", start.estimate_of, name="estimate"),
    path("runs/<int:pk>/", runs.run_detail, name="run"),
    path("runs/<int:pk>/progress/", runs.run_progress, name="progress"),
    path("runs/<int:pk>/cancel/", runs.cancel_run, name="cancel"),
    path("runs/<int:pk>/pause/", runs.pause_run, name="pause"),
    path("runs/<int:pk>/resume/", runs.resume_run, name="resume"),
    path("runs/<int:pk>/log/", records.log, name="log"),
    path("runs/<int:pk>/excerpts/", records.run_excerpts, name="excerpts"),
    path("runs/<int:pk>/points/", records.points, name="points"),
    # /notices/
    path("notices/", notices.news, name="notices"),
    path("notices/<int:pk>/seen/", notices.seen, name="seen"),
    # /snapshots/, /answers/, /people/<id>/erase/
    path("snapshots/<int:pk>/", traces.snapshot, name="snapshot"),
    path("answers/<int:pk>/", traces.answer, name="answer"),
    path("projects/<slug:slug>/answers/", traces.answers, name="answers"),
    path("people/<int:pk>/erase/", traces.erase, name="erase"),
    # /models/
    path("models/", models.version_list, name="versions"),
    path("models/<str:name>/", models.version, name="version"),
    path("models/<str:name>/agreement/", models.agreement, name="agreement"),
    path("models/<str:name>/promote/", models.promote, name="promote"),
    path("models/<str:name>/archive/", models.archive, name="archive"),
    path("models/<str:name>/restore/", models.restore, name="restore"),
    # /projects/<slug>/roll-back/
    path("projects/<slug:slug>/roll-back/", models.roll_back, name="roll_back"),
    # /lineage/
    path("lineage/", models.lineage_page, name="lineage"),
    # /gates/, /models/<name>/gate/
    path("gates/<int:pk>/", gates.gate, name="gate"),
    path("gates/<int:pk>/figures/", gates.gate_figures, name="gate_figures"),
    path("gates/<int:pk>/more/", gates.ask_more, name="ask_more"),
    path("gates/<int:pk>/withdraw/", gates.withdraw_gate, name="withdraw_gate"),
    path("models/<str:name>/gate/", gates.open_gate, name="open_gate"),
    # /projects/<slug>/leaderboard/
    path("projects/<slug:slug>/leaderboard/", leaderboard.leaderboard, name="leaderboard"),
    # /projects/<slug>/samples/
    path("projects/<slug:slug>/samples/", samples.samples, name="samples"),
]
