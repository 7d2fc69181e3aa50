"""Pages of the labelling side."""

from django.urls import path

from labeling.views import (
    adjudication,
    exports,
    guidelines,
    imports,
    members,
    my_answers,
    my_work,
    people,
    quality,
    setup,
    work,
    work_settings,
)

app_name = "labeling"
urlpatterns = [
    path("", my_work.projects, name="projects"),
    # /me/
    path("me/", my_work.my_work, name="my_work"),
    path("me/settings/", work_settings.settings, name="settings"),
    # /projects/<slug>/
    path("projects/<slug:slug>/work/", work.work, name="work"),
    path("projects/<slug:slug>/guidelines/", guidelines.guidelines, name="guidelines"),
    path("projects/<slug:slug>/claim/", work.claim, name="claim"),
    path("projects/<slug:slug>/last/", my_answers.recent_answers, name="recent_answers"),
    # /assignments/<id>/
    path("assignments/<int:pk>/", work.assignment, name="assignment"),
    path("assignments/<int:pk>/submit/", work.submit, name="submit"),
    path("assignments/<int:pk>/skip/", work.skip, name="skip"),
    path("assignments/<int:pk>/draft/", work.draft, name="draft"),
    path("assignments/<int:pk>/renew/", work.renew, name="renew"),
    path("assignments/<int:pk>/edit/", my_answers.edit, name="edit"),
    path("assignments/<int:pk>/revise/", my_answers.revise, name="revise"),
    path("assignments/<int:pk>/take-again/", my_answers.take_again, name="take_again"),
    # /projects/new/, /projects/<slug>/setup/
    path("projects/new/", setup.new_project, name="new_project"),
    path("projects/preview/", setup.preview, name="preview"),
    path("projects/<slug:slug>/setup/", setup.setup, name="setup"),
    path("projects/<slug:slug>/preview/", setup.preview, name="preview"),
    path("projects/<slug:slug>/imports/", imports.upload, name="upload"),
    path("projects/<slug:slug>/imports/<int:pk>/", imports.data_import, name="data_import"),
    path("projects/<slug:slug>/imports/<int:pk>/cancel/", imports.cancel, name="cancel_import"),
    path("projects/<slug:slug>/members/", members.members, name="members"),
    # /projects/<slug>/export/
    path("projects/<slug:slug>/export/", exports.export, name="export"),
    path("projects/<slug:slug>/export/file/", exports.export_file, name="export_file"),
    # /projects/<slug>/quality/
    path("projects/<slug:slug>/quality/", quality.quality, name="quality"),
    path("projects/<slug:slug>/quality/strengths/", quality.quality_strengths, name="quality_strengths"),
    path("projects/<slug:slug>/quality/annotators.csv", quality.quality_csv, name="quality_csv"),
    path("projects/<slug:slug>/quality/<int:pk>/", quality.quality_annotator, name="quality_annotator"),
    # /projects/<slug>/adjudication/, /projects/<slug>/gold/
    path("projects/<slug:slug>/adjudication/", adjudication.adjudication, name="adjudication"),
    path("projects/<slug:slug>/adjudication/<int:pk>/", adjudication.adjudicate, name="adjudicate"),
    path("projects/<slug:slug>/adjudication/<int:pk>/vote/", adjudication.vote, name="vote"),
    path("projects/<slug:slug>/adjudication/<int:pk>/settle/", adjudication.settle, name="settle"),
    path("projects/<slug:slug>/adjudication/<int:pk>/gold/", adjudication.use_as_gold, name="use_as_gold"),
    path("projects/<slug:slug>/gold/", adjudication.gold, name="gold"),
    # /people/
    path("people/", people.people, name="people"),
    path("people/invite/", people.invite, name="invite"),
    path("people/<int:pk>/", people.person, name="person"),
    path("people/<int:pk>/projects/", people.projects, name="person_projects"),
    path("people/<int:pk>/deactivate/", people.deactivate, name="deactivate"),
    path("people/<int:pk>/reactivate/", people.reactivate, name="reactivate"),
    # /invitations/
    path("invitations/<int:pk>/withdraw/", people.withdraw, name="withdraw"),
    path("invitations/<str:secret>/", people.accept, name="accept_invitation"),
]
