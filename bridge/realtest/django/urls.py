"""No pages: a test that needs one serves it from elsewhere."""

urlpatterns = []
