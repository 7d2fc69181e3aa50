from django.apps import AppConfig
from django.contrib.admin.apps import AdminConfig


class FeedbackSiteConfig(AppConfig):
    """The site itself: `manage.py up` and what joins the two apps."""

    name = "feedback_site"


class AdminSiteConfig(AdminConfig):
    """The Django admin, with our site."""

    default_site = "feedback_site.admin_site.Site"
    default = False
