"""Pages of training: dashboard, rounds, runs, notifications, provenance, versions, gates, samples."""

from django.urls import path

from training.views import (
    dashboard,
    gates,
    leaderboard,
    live,
    notifications,
    playground,
    provenance,
    rounds,
    run_records,
    runs,
    samples,
    start_run,
    versions,
)

app_name = "training"
urlpatterns = [
    # /dashboard/, /projects/<slug>/
    path("dashboard/", dashboard.dashboard, name="dashboard"),
    path("projects/<slug:slug>/", dashboard.project_dashboard, name="project_dashboard"),
    # /projects/<slug>/rounds/
    path("projects/<slug:slug>/rounds/", rounds.rounds, name="rounds"),
    path("projects/<slug:slug>/rounds/begin/", rounds.begin_round, name="begin_round"),
    path("projects/<slug:slug>/rounds/stop/", rounds.stop_round, name="stop_round"),
    # /runs/
    path("runs/", runs.run_list, name="runs"),
    path("runs/estimate/", start_run.run_estimate, name="estimate"),
    path("runs/<int:pk>/", runs.run_detail, name="run"),
    path("runs/<int:pk>/progress/", runs.run_progress, name="progress"),
    path("runs/<int:pk>/cancel/", runs.cancel_run, name="cancel"),
    path("runs/<int:pk>/pause/", runs.pause_run, name="pause"),
    path("runs/<int:pk>/resume/", runs.resume_run, name="resume"),
    path("runs/<int:pk>/log/", run_records.log, name="log"),
    path("runs/<int:pk>/samples/", run_records.run_samples, name="run_samples"),
    path("runs/<int:pk>/points/", run_records.points, name="points"),
    # /notices/
    path("notices/", notifications.notifications_list, name="notifications"),
    path("notices/<int:pk>/seen/", notifications.seen, name="seen"),
    # /snapshots/, /answers/, /people/<id>/erase/
    path("snapshots/<int:pk>/", provenance.snapshot, name="snapshot"),
    path("answers/<int:pk>/", provenance.answer, name="answer"),
    path("projects/<slug:slug>/answers/", provenance.answers, name="answers"),
    path("people/<int:pk>/erase/", provenance.delete_answers, name="delete_answers"),
    # /models/
    path("models/", versions.version_list, name="versions"),
    path("models/<str:name>/", versions.version, name="version"),
    path("models/<str:name>/agreement/", versions.agreement, name="agreement"),
    path("models/<str:name>/promote/", versions.promote, name="promote"),
    path("models/<str:name>/archive/", versions.archive, name="archive"),
    path("models/<str:name>/restore/", versions.restore, name="restore"),
    # /projects/<slug>/roll-back/
    path("projects/<slug:slug>/roll-back/", versions.roll_back, name="roll_back"),
    # /lineage/
    path("lineage/", versions.lineage_page, name="lineage"),
    # /gates/, /models/<name>/gate/
    path("gates/<int:pk>/", gates.gate, name="gate"),
    path("gates/<int:pk>/figures/", gates.gate_evidence, name="gate_evidence"),
    path("gates/<int:pk>/more/", gates.ask_more, name="ask_more"),
    path("gates/<int:pk>/withdraw/", gates.withdraw_gate, name="withdraw_gate"),
    path("models/<str:name>/gate/", gates.open_gate, name="open_gate"),
    # /projects/<slug>/leaderboard/
    path("projects/<slug:slug>/leaderboard/", leaderboard.leaderboard, name="leaderboard"),
    # /projects/<slug>/live/, /live/turns/, /live/answers/
    path("projects/<slug:slug>/live/", live.live, name="live"),
    path("projects/<slug:slug>/live/new/", live.new_live, name="new_live"),
    path("live/turns/<int:pk>/", live.live_turn, name="live_turn"),
    path("live/turns/<int:pk>/vote/", live.vote, name="vote"),
    path("live/answers/<int:pk>/retry/", live.retry_answer, name="retry_answer"),
    # /projects/<slug>/playground/, /playground/turns/, /playground/answers/
    path("projects/<slug:slug>/playground/", playground.playground, name="playground"),
    path("projects/<slug:slug>/playground/live/", playground.live_settings, name="live_settings"),
    path("playground/turns/<int:pk>/", playground.playground_turn, name="playground_turn"),
    path("playground/answers/<int:pk>/retry/", playground.playground_retry, name="playground_retry"),
    # /projects/<slug>/samples/
    path("projects/<slug:slug>/samples/", samples.generate_samples, name="samples"),
]
