from django.apps import AppConfig


class FeedbackSiteConfig(AppConfig):
    """The site itself: `manage.py up` and what joins the two apps."""

    name = "feedback_site"
