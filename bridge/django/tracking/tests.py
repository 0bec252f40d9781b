"""Run with: python3 manage.py test"""

import json
import re
from unittest import mock

from asgiref.sync import sync_to_async
from channels.testing import WebsocketCommunicator
from django.contrib.auth.models import User
from django.core.management import call_command
from django.db import DataError, OperationalError
from django.test import Client, TransactionTestCase, override_settings

from tracking.acks import PROTOCOL
from tracking.asgi import application
from tracking.consumers import BAD_MESSAGE, NOT_ALLOWED, TrackingConsumer
from tracking.models import Fix, Tracker
from tracking.redis_url import channels_host, connect, place
from tracking.streams import Worker

GROUP = "/ws/gps-tracking/van_7/"


def tpv(seq, **members):
    message = {"class": "TPV", "device_id": "van_7", "run": "5f1c09ae77b2d041", "seq": seq, "mode": 3}
    message.update(time="2026-11-23T09:00:01.200Z", lat=51.5033635, lon=-0.1276248, **members)
    return message


class Base(TransactionTestCase):
    def setUp(self):
        self.token = Tracker.issue("van_7")
        self.browser = Client()
        self.browser.force_login(User.objects.create_user("ann"))

    async def join(self, path=GROUP, token=None, cookie=False, origin=b"http://localhost", subprotocols=None):
        headers = [(b"origin", origin)]
        if token:
            headers.append((b"authorization", b"Bearer " + token.encode()))
        if cookie:
            headers.append((b"cookie", b"sessionid=" + self.browser.cookies["sessionid"].value.encode()))
        member = WebsocketCommunicator(application, path, headers, subprotocols)
        member.accepted, member.code = await member.connect()
        return member

    async def send(self, member, message):
        """Sends a message and returns what comes back to the sender."""
        await member.send_to(text_data=json.dumps(message))
        return json.loads(await member.receive_from())

    async def closed(self, member):
        """The code with which the server closes."""
        event = await member.receive_output()
        self.assertEqual(event["type"], "websocket.close")
        return event["code"]

    count = staticmethod(sync_to_async(lambda: Fix.objects.count()))
    rows = staticmethod(sync_to_async(lambda: list(Fix.objects.order_by("seq"))))


class DeliveryTests(Base):
    async def test_every_member_gets_what_a_tracker_sends(self):
        tracker, viewer = await self.join(token=self.token), await self.join(cookie=True)
        self.assertEqual(await self.send(tracker, tpv(1)), tpv(1))
        self.assertEqual(json.loads(await viewer.receive_from()), tpv(1))
        for member in (tracker, viewer):
            await member.disconnect()

    async def test_a_fix_is_stored_when_its_echo_comes(self):
        tracker = await self.join(token=self.token)
        await self.send(tracker, tpv(1))
        (row,) = await self.rows()
        self.assertEqual((row.device_id, row.run, row.seq), ("van_7", "5f1c09ae77b2d041", 1))
        self.assertEqual((row.mode, row.lat, row.lon), (3, 51.5033635, -0.1276248))
        self.assertEqual(row.time.isoformat(), "2026-11-23T09:00:01.200000+00:00")
        self.assertEqual(row.message, tpv(1))
        await tracker.disconnect()

    async def test_a_fix_that_cannot_be_stored_is_not_echoed(self):
        tracker, viewer = await self.join(token=self.token), await self.join(cookie=True)
        with mock.patch.object(Fix, "store", side_effect=OperationalError("database is locked")):
            await tracker.send_to(text_data=json.dumps(tpv(1)))
            with self.assertRaises(OperationalError):  # which ends the connection
                await tracker.receive_from()
        self.assertTrue(await viewer.receive_nothing())
        await viewer.disconnect()

    async def test_a_repeat_is_echoed_and_not_stored_again(self):
        tracker = await self.join(token=self.token)
        for message in (tpv(1), tpv(1), tpv(1, backlog=True), tpv(2)):
            self.assertEqual(await self.send(tracker, message), message)
        self.assertEqual([row.seq for row in await self.rows()], [1, 2])
        await tracker.disconnect()

    @override_settings(TRACKING_SHORT_ACKS=True)
    async def test_short_acknowledgements_are_for_trackers_that_ask(self):
        short, plain = await self.join(token=self.token, subprotocols=[PROTOCOL]), await self.join(token=self.token)
        self.assertEqual((short.code, plain.code), (PROTOCOL, None))
        for seq, acknowledged in ((1, 1), (2, None), (3, None), (4, None), (5, None), (6, None), (7, 7), (7, 7), (1, None)):
            await short.send_to(text_data=json.dumps(tpv(seq)))
            self.assertEqual(json.loads(await plain.receive_from()), tpv(seq))
            if acknowledged:
                ack = {"ack": {"run": tpv(1)["run"], "seq": acknowledged}}
                self.assertEqual(json.loads(await short.receive_from()), ack)
        self.assertEqual(await self.send(plain, tpv(8)), tpv(8))
        self.assertEqual(json.loads(await short.receive_from()), tpv(8))  # another member's
        self.assertEqual([row.seq for row in await self.rows()], list(range(1, 9)))
        for member in (short, plain):
            await member.disconnect()

    @override_settings(TRACKING_SHORT_ACKS=True)
    @mock.patch("tracking.acks.DELAY", 0.01)
    async def test_a_short_acknowledgement_is_held_back_for_a_time(self):
        short = await self.join(token=self.token, subprotocols=[PROTOCOL])
        for seq in (1, 2):
            self.assertEqual(await self.send(short, tpv(seq)), {"ack": {"run": tpv(1)["run"], "seq": seq}})
        await short.disconnect()

    async def test_short_acknowledgements_are_off(self):
        tracker = await self.join(token=self.token, subprotocols=[PROTOCOL])
        self.assertIsNone(tracker.code)
        self.assertEqual(await self.send(tracker, tpv(1)), tpv(1))
        await tracker.disconnect()

    async def test_another_device_or_run_is_another_fix(self):
        other = await sync_to_async(Tracker.issue)("van_8")
        tracker, second = await self.join(token=self.token), await self.join("/ws/gps-tracking/van_8/", other)
        await self.send(tracker, tpv(1))
        await self.send(tracker, dict(tpv(1), run="00000000000000ff"))
        await self.send(second, dict(tpv(1), device_id="van_8"))
        self.assertEqual(await self.count(), 3)
        for member in (tracker, second):
            await member.disconnect()

    async def test_a_fix_without_position_is_stored_without(self):
        tracker = await self.join(token=self.token)
        await self.send(tracker, {"class": "TPV", "run": "a", "seq": 1, "mode": 1})
        (row,) = await self.rows()
        self.assertEqual((row.mode, row.lat, row.lon, row.time), (1, None, None, None))
        await tracker.disconnect()

    async def test_what_has_no_identity_is_passed_on(self):
        tracker = await self.join(token=self.token)
        for message in (
            {"class": "SKY", "run": "a", "seq": 1},
            {"class": "TPV", "seq": 1},
            {"class": "TPV", "run": "a", "seq": 1.5},
            {"class": "TPV", "run": "a", "seq": True},
            {"class": "TPV", "run": "x" * 33, "seq": 1},
            {"class": "TPV", "run": "a", "seq": 2**63},
            [1],
            7,
        ):
            self.assertEqual(await self.send(tracker, message), message)
        self.assertEqual(await self.count(), 0)
        await tracker.disconnect()

    async def test_values_that_cannot_be_are_left_out_of_the_columns(self):
        tracker = await self.join(token=self.token)
        await self.send(tracker, dict(tpv(1), lat=91, mode="3", time="yesterday"))
        (row,) = await self.rows()
        self.assertEqual((row.mode, row.lat, row.lon, row.time), (0, None, None, None))
        await tracker.disconnect()

    async def test_what_is_not_json_ends_the_connection(self):
        for text in ("{", '{"class":"TPV","lat":NaN}'):
            tracker = await self.join(token=self.token)
            await tracker.send_to(text_data=text)
            self.assertEqual(await self.closed(tracker), BAD_MESSAGE)
        tracker = await self.join(token=self.token)
        await tracker.send_to(bytes_data=b"x")
        self.assertEqual(await self.closed(tracker), BAD_MESSAGE)

    async def test_the_plain_consumer_needs_no_database(self):
        member = WebsocketCommunicator(TrackingConsumer.as_asgi(), GROUP)
        member.scope["url_route"] = {"kwargs": {"device_id": "van_7"}}
        await member.connect()
        self.assertEqual(await self.send(member, tpv(1)), tpv(1))
        self.assertEqual(await self.count(), 0)
        await member.disconnect()


class AccessTests(Base):
    async def test_joining_needs_a_token_or_a_session(self):
        for how in ({}, {"token": "wrong"}, {"token": self.token, "path": "/ws/gps-tracking/van_8/"}):
            member = await self.join(**how)
            self.assertFalse(member.accepted, how)

    async def test_a_foreign_origin_is_refused(self):
        member = await self.join(cookie=True, origin=b"https://elsewhere.example")
        self.assertFalse(member.accepted)

    async def test_users_watch_and_do_not_publish(self):
        viewer = await self.join(cookie=True)
        self.assertTrue(viewer.accepted)
        await viewer.send_to(text_data=json.dumps(tpv(1)))
        self.assertEqual(await self.closed(viewer), NOT_ALLOWED)
        self.assertEqual(await self.count(), 0)

    async def test_the_route_is_the_trackers(self):
        for path in ("/ws/gps-tracking/van-7/", "/ws/gps-tracking/van_7", "/ws/gps-tracking//"):
            with self.assertRaises(ValueError, msg=path):
                await self.join(path, token=self.token)

    def test_a_new_token_replaces_the_old_one(self):
        new = Tracker.issue("van_7")
        self.assertFalse(Tracker.accepts("van_7", self.token))
        self.assertTrue(Tracker.accepts("van_7", new))
        self.assertNotIn(new, str(list(Tracker.objects.values())))

    def test_device_ids_are_checked(self):
        with self.assertRaisesMessage(Exception, "is not a device ID"):
            call_command("tracker", "van-7")


class StreamTests(TransactionTestCase):
    """The worker with a Redis that is only played; bridge/layer has the tests with a real one."""

    def setUp(self):
        self.worker = Worker(["redis://localhost/0"], "fixes", "database", "one")

    def entry(self, message, device_id=b"van_7"):
        return (b"fixes:1", b"1-1", {b"device_id": device_id, b"message": message})

    def fixes(self, *seqs):
        return [self.entry(json.dumps(tpv(seq)).encode()) for seq in seqs]

    def stored(self):
        return [row.seq for row in Fix.objects.order_by("seq")]

    def test_entries_are_stored_once(self):
        for entries in (self.fixes(1, 2), self.fixes(2, 3, 3)):
            self.assertTrue(self.worker.store(entries))
        self.assertEqual(self.stored(), [1, 2, 3])

    def test_what_is_no_fix_is_logged_and_keeps_none_from_being_stored(self):
        bad = [b"{", b"[1]", b'{"class":"TPV","run":"a","seq":1,"lat":NaN}', b'{"class":"SKY"}', b"\xff"]
        trimmed = (b"fixes:1", b"1-2", {})
        with self.assertLogs("tracking.streams", "ERROR") as logged:
            self.assertTrue(self.worker.store([*map(self.entry, bad), trimmed, *self.fixes(1)]))
        self.assertEqual(len(logged.output), len(bad))
        self.assertEqual(self.stored(), [1])

    def test_what_the_database_refuses_is_logged_and_the_others_are_stored(self):
        store = Fix.store_all

        def refuse_two(fixes):
            if any(fix.seq == 2 for fix in fixes):
                raise DataError("no such number")
            store(fixes)

        with mock.patch.object(Fix, "store_all", side_effect=refuse_two), self.assertLogs("tracking.streams", "ERROR"):
            self.assertTrue(self.worker.store(self.fixes(1, 2, 3)))
        self.assertEqual(self.stored(), [1, 3])

    def test_a_database_that_is_down_is_tried_again(self):
        with mock.patch.object(Fix, "store_all", side_effect=[OperationalError("down"), None]) as store:
            with self.assertLogs("tracking.streams", "WARNING"):
                self.assertTrue(self.worker.store(self.fixes(1)))
        self.assertEqual(store.call_count, 2)

    def test_a_worker_that_is_stopped_does_not_wait_for_the_database(self):
        self.worker.stop()
        with mock.patch.object(Fix, "store_all", side_effect=OperationalError("down")), self.assertLogs("tracking.streams", "WARNING"):
            self.assertFalse(self.worker.store(self.fixes(1)))
        self.worker.run()  # returns

    def test_addresses_are_those_of_the_relays(self):
        sentinels = "redis-sentinel://:p%40ss@a:1,b/tracking/2"
        parts = {"sentinels": [("a", 1), ("b", 26379)], "master_name": "tracking", "password": "p@ss", "db": 2}
        self.assertEqual(channels_host(sentinels), parts)
        self.assertEqual(channels_host("redis+unix:///run/redis.sock"), "unix:///run/redis.sock")
        self.assertEqual(place("redis://ann:p@h:6379/0"), "redis://h:6379/0")
        for url in (sentinels, "redis://h:1/0", "rediss://h:1/0", "redis+unix:///run/redis.sock"):
            self.assertIsNotNone(connect(url, 1))


class PageTests(Base):
    def store(self, seq, **members):
        Fix.of("van_7", tpv(seq, **members)).store()

    def test_pages_are_for_users(self):
        for path in ("/", "/devices/van_7/", "/devices/van_7/fixes/"):
            self.assertRedirects(Client().get(path), "/login/?next=" + path)
            self.assertEqual(self.browser.get(path).status_code, 200)

    def test_devices_are_listed(self):
        self.assertContains(self.browser.get("/"), "No tracker has sent a fix yet")
        self.store(1)
        self.assertContains(self.browser.get("/"), "/devices/van_7/")

    def test_the_trail_is_in_the_order_of_time(self):
        self.store(2)
        late = dict(tpv(1, backlog=True), time="2026-11-23T08:00:00Z")
        Fix.of("van_7", late).store()
        Fix.of("van_7", {"class": "TPV", "run": "a", "seq": 1, "mode": 1}).store()
        got = self.browser.get("/devices/van_7/fixes/").json()["fixes"]
        self.assertEqual([fix["seq"] for fix in got], [1, 2])

    def test_no_page_needs_another_host(self):
        self.store(1)
        for path in ("/", "/devices/van_7/", "/login/"):
            page = self.browser.get(path).content.decode()
            self.assertEqual(re.findall(r"""(?:src|href)=["'](?!/|data:)[^"']*|https?://""", page), [], path)

    @override_settings(ALLOWED_HOSTS=["tracking.example"])
    def test_other_host_names_are_refused(self):
        self.assertEqual(self.browser.get("/", HTTP_HOST="elsewhere.example").status_code, 400)
