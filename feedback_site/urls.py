"""The site's URLs; each app has its own list."""

from django.contrib import admin
from django.contrib.auth import views as auth
from django.urls import include, path
from drf_spectacular.views import SpectacularAPIView

from labeling.views.admin_sign_in import admin_sign_in
from labeling.views.sign_out import SignOut

handler400 = "feedback_site.errors.bad_request"
urlpatterns = [
    # /accounts/
    path("accounts/login/", auth.LoginView.as_view(redirect_authenticated_user=True), name="login"),
    path("accounts/logout/", SignOut.as_view(), name="logout"),
    # /admin/
    path("admin/login/", admin_sign_in),
    path("admin/logout/", SignOut.as_view()),
    path("admin/", admin.site.urls),
    # /api/
    path("api/schema/", SpectacularAPIView.as_view(), name="schema"),
    path("api/", include("labeling.api.urls")),
    path("api/", include("training.api.urls")),
    # /, /projects/, /people/; before training's, so that /projects/new/ is not taken for a project
    path("", include("labeling.urls")),
    # /dashboard/, /runs/, /models/, and training's pages of a project
    path("", include("training.urls")),
]
