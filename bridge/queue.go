package bridge

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"gpsbridge/bridge/spool"
)

// ErrSpoolInUse says that another daemon has the spool's folder: no fault of the configuration, and over when that ends.
var ErrSpoolInUse = spool.ErrInUse

// openSpool opens the spool for the uplinks. A disk that cannot be used is no reason to stop tracking: then fixes are
// held in memory, it is said, and the configuration forgets the folder.
func (c *Config) openSpool(log *slog.Logger) (*spool.Spool, error) {
	o := spool.Options{
		Dir: c.Spool.Dir, Runtime: c.Spool.Runtime, Max: int64(c.Spool.Max), MinFree: int64(c.Spool.MinFree),
		Sync: time.Duration(c.Spool.Sync), Log: log,
	}
	for _, u := range c.Uplinks {
		o.Readers = append(o.Readers, u.Name)
	}
	s, err := spool.Open(o)
	if err == nil || o.Dir == "" || errors.Is(err, ErrSpoolInUse) {
		return s, err
	}
	log.Error("the spool's folder cannot be used, fixes are held in memory and end with the daemon: mend spool.dir", "err", err)
	c.Spool.Dir, c.Spool.Runtime = "", ""
	o.Dir, o.Runtime, o.Max = "", "", min(o.Max, spool.DefaultMax)
	return spool.Open(o)
}

// closeSpool says what stays in it, or is lost with the process.
func (d *Daemon) closeSpool() error {
	st, err := d.spool.Stats(), d.spool.Close()
	switch {
	case st.Records == 0:
	case d.config.Spool.Dir == "":
		d.log.Warn("fixes not delivered are lost: the spool is in memory, set spool.dir to keep it", "records", st.Records)
	case err == nil:
		d.log.Info("fixes not delivered yet are kept for the next start", "records", st.Records, "dir", d.config.Spool.Dir)
	}
	return err
}

// reportDrops says once a minute what a full spool has dropped since it last said so.
func (d *Daemon) reportDrops(ctx context.Context) error {
	told := d.spool.Stats().Dropped
	for ticker := time.NewTicker(time.Minute); ; {
		select {
		case <-ctx.Done():
			ticker.Stop()
			return nil
		case <-ticker.C:
		}
		if st := d.spool.Stats(); st.Dropped > told {
			d.log.Warn("spool is full and thins its oldest fixes: raise spool.max or mend the uplink",
				"dropped", st.Dropped-told, "max_bytes", st.MaxBytes)
			told = st.Dropped
		}
	}
}

// asideName is the file in the spool's folder with the messages that a server would not take.
const asideName = "aside.jsonl"

// setAside keeps a message on which a server breaks the connection again and again: in a file beside the spool, else in
// the log. It is one line either way, and nothing waits for it any more.
func (d *Daemon) setAside(msg []byte) error {
	if d.config.Spool.Dir == "" {
		d.log.Error("message set aside, the server does not take it", "message", string(msg))
		return nil
	}
	path := filepath.Join(d.config.Spool.Dir, asideName)
	f, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("set message aside: %w", err)
	}
	_, err = f.Write(append(msg[:len(msg):len(msg)], '\n'))
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("set message aside in %q: %w", path, err)
	}
	d.log.Error("message set aside, the server does not take it", "file", path)
	return nil
}
