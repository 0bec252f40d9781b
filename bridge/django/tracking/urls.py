from django.contrib.auth.views import LoginView, LogoutView
from django.urls import path, re_path

from tracking import relay_auth, views

urlpatterns = [
    path("", views.devices, name="devices"),
    path("login/", LoginView.as_view(), name="login"),
    path("relay/auth/", relay_auth.may_connect),  # of gpsbridge relay, with auth_url
    path("logout/", LogoutView.as_view(), name="logout"),
    re_path(r"^devices/(?P<device_id>\w+)/$", views.device, name="device"),
    re_path(r"^devices/(?P<device_id>\w+)/fixes/$", views.fixes, name="fixes"),
]
