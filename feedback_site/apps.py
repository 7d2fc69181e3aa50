from django.apps import AppConfig
from django.contrib.admin.apps import AdminConfig


class FeedbackSiteConfig(AppConfig):
    """The site: settings, URLs and `manage.py up`."""

    name = "feedback_site"


class AdminSiteConfig(AdminConfig):
    """The Django admin with `ProjectAdminSite`."""

    default_site = "feedback_site.admin_site.ProjectAdminSite"
    default = False
