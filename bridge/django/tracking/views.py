"""Pages for users who are logged in."""

from django.contrib.auth.decorators import login_required
from django.db.models import Count, Max
from django.http import JsonResponse
from django.shortcuts import render

from tracking.models import Fix

TRAIL = 2000  # fixes of a page's trail: 30 minutes at one a second


@login_required
def devices(request):
    """All devices that have sent a fix, with the time of the last one."""
    found = Fix.objects.values("device_id").annotate(fixes=Count("id"), last=Max("received")).order_by("device_id")
    return render(request, "tracking/devices.html", {"devices": found})


@login_required
def device(request, device_id):
    """The live map of one device."""
    return render(request, "tracking/map.html", {"device_id": device_id})


@login_required
def fixes(request, device_id):
    """The last fixes with a position, oldest first, as the tracker sent them."""
    rows = Fix.objects.filter(device_id=device_id, time__isnull=False, lat__isnull=False, lon__isnull=False)
    rows = rows.order_by("-time", "-id").values_list("message", flat=True)[:TRAIL]
    return JsonResponse({"fixes": list(rows)[::-1]})
