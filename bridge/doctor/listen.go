package doctor

import (
	"context"
	"log/slog"
	"strings"
	"sync"
	"time"

	"gpsbridge/bridge"
	"gpsbridge/bridge/config"
	"gpsbridge/bridge/pipeline"
	"gpsbridge/bridge/receiver"
	"gpsbridge/bridge/receiver/kinds"
	"gpsbridge/nmea"
)

// How long a receiver is listened to.
const (
	lookEvery = 50 * time.Millisecond
	// listenMost bounds the whole: finding a port and its speed takes some seconds a candidate, silence is reported after 10.
	listenMost = 25 * time.Second
	// fixWait is how long a fix is waited for once sentences come: some epochs of a receiver that sends one a second, or one
	// of a receiver that was set to 5 s.
	fixWait = 6 * time.Second
	// quietWait is how long a receiver may be quiet: some are set to send every 10 s.
	quietWait = 12 * time.Second
	// skyWait is how long the satellites are waited for once there is a fix: receivers list them each second, or less often.
	skyWait = 2 * time.Second
	// speedWait is how long the speed is looked for: going through all of them takes some 5 s, and on a loaded machine the
	// right one may be missed once.
	speedWait = 15 * time.Second
	// noiseWait is how long bytes may come without a sentence among them.
	noiseWait = 8 * time.Second
)

// observeReceiver asks the daemon about a receiver, or listens to it.
func observeReceiver(ctx context.Context, d *daemon, c config.Receiver) (observed, error) {
	if _, beside := d.receiver(c); beside {
		o := d.watch(ctx, c)
		if at := d.fixTime(ctx, o.DeviceID); o.fixed() && o.Active && !at.IsZero() && !strings.HasPrefix(o.Source, "file:") {
			o.clock = at.Add(time.Duration(*o.FixAge * float64(time.Second)))
		}
		return o, nil
	}
	return listen(ctx, c)
}

// Listen returns what is known of the configuration's first receiver: what the running daemon reports, or else what is found by
// listening, as for Examine.
func Listen(ctx context.Context, o Options) (pipeline.ReceiverStatus, error) {
	d := &daemon{find: o.Daemon, fixTime: o.FixTime}
	d.examine(ctx, o.Config)
	seen, err := observeReceiver(ctx, d, o.Config.Receivers[0])
	return seen.ReceiverStatus, err
}

// listen opens a receiver's source, listens until it can be judged, and closes it. What comes goes nowhere.
func listen(ctx context.Context, c config.Receiver) (observed, error) {
	src, err := kinds.Parse(c.Source)
	if err != nil {
		return observed{}, err
	}
	feed := pipeline.NewFeed(pipeline.FeedConfig{
		Keep: func([]byte) (uint64, error) { return 0, nil }, Show: func(string, string, []byte) {}, Log: slog.New(slog.DiscardHandler),
	})
	in := pipeline.NewIntake(receiver.New(src, receiver.Config{Source: c.Source, Silence: time.Duration(c.Silence)}), feed, pipeline.IntakeConfig{
		Source: c.Source, Calendar: nmea.Options{Floor: bridge.BuiltAfter(), System: bridge.SystemTime}, AllowNoChecksum: c.AllowNoChecksum,
	})
	ctx, cancel := context.WithTimeout(ctx, listenMost)
	var running sync.WaitGroup
	running.Go(func() {
		defer cancel()
		_ = in.Run(ctx) // the error is in its status
	})
	o := until(ctx, lookEvery, isSerial(c.Source) && !strings.Contains(c.Source, "baud="), pipeline.ReceiverStatus{}, func() observed {
		return observed{ReceiverStatus: in.Status(feed.Status()), clock: in.Clock(time.Now())}
	})
	cancel()
	running.Wait()
	return o, nil
}

// until looks at a receiver until it can be judged, or ctx ends. What comes after first counts. seeking: the speed of its line is being
// looked for.
func until(ctx context.Context, every time.Duration, seeking bool, first pipeline.ReceiverStatus, look func() observed) observed {
	tick := time.NewTicker(every)
	defer tick.Stop()
	began, ended := time.Now(), false
	var bytes, sentences, fixed time.Time // since when they come, and since the first fix
	for {
		o, now := look(), time.Now()
		if o.Bytes > first.Bytes && bytes.IsZero() {
			bytes = now
		}
		switch {
		case o.Sentences <= first.Sentences:
			o.Sentences = 0 // none now
		case sentences.IsZero():
			sentences = now
		}
		if o.fixed() && fixed.IsZero() {
			fixed = now
		}
		so, none := now.Sub(began), sentences.IsZero()
		switch {
		case ended, o.State == receiver.Waiting && (!seeking || linkOf(o.Problem) != "baud" || so > speedWait),
			o.State == receiver.Silent && (so > quietWait || now.Sub(o.Since) > quietWait),
			!none && o.fixed() && (o.NSat != nil || now.Sub(fixed) > skyWait),
			!none && now.Sub(sentences) > fixWait,
			none && !bytes.IsZero() && now.Sub(bytes) > noiseWait && !seeking:
			if o.State == receiver.Silent && !none && now.Sub(o.Since) <= quietWait { // between two bursts
				o.State, o.Problem = receiver.Reading, nil
			}
			return o
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			ended = true
		}
	}
}
