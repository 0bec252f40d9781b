from django.contrib.auth.models import User
from django.test import Client, TestCase

from tracking.models import Tracker


class RelayAuth(TestCase):
    def test_trackers_publish_and_users_watch(self):
        token = Tracker.issue("van_7")
        user = Client()
        user.force_login(User.objects.create_user("ann"))
        for role, device, authorization, client, want in [
            ("publish", "van_7", "Bearer " + token, Client(), 204),
            ("publish", "van_8", "Bearer " + token, Client(), 403),
            ("publish", "van_7", "Bearer other", Client(), 403),
            ("publish", "van_7", "", user, 403),
            ("view", "van_7", "", user, 204),
            ("view", "", "", user, 204),
            ("view", "van_7", "Bearer " + token, Client(), 403),
            ("view", "van_7", "", Client(), 403),
        ]:
            headers = {"HTTP_X_GPSBRIDGE_ROLE": role, "HTTP_X_GPSBRIDGE_DEVICE": device, "HTTP_AUTHORIZATION": authorization}
            with self.subTest(role=role, device=device):
                self.assertEqual(client.get("/relay/auth/", **headers).status_code, want)
