"""URLs of the REST API of training."""

from rest_framework.routers import SimpleRouter

from training.api.views import ModelVersionViewSet, RunViewSet

router = SimpleRouter()
router.register("models", ModelVersionViewSet, basename="model")
router.register("runs", RunViewSet, basename="run")

# /api/models/, /api/models/NAME/, /api/runs/, /api/runs/ID/, /api/runs/ID/{cancel,pause,resume}/
urlpatterns = router.urls
