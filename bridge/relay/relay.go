package relay

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"gpsbridge/bridge/problem"

	"github.com/gorilla/websocket"
	"golang.org/x/sync/errgroup"
)

// Relay serves groups and the page. Make one with New.
type Relay struct {
	// Set once.
	config    Config
	log       *slog.Logger
	access    atomic.Pointer[access]
	asker     *asker // nil where no application decides
	hub       *hub
	remotes   *remotes
	admission *admission   // nil for no bound
	answering atomic.Int64 // bytes of large answers that are being written
	tracks    sync.Mutex   // one track is made at a time: 100,000 fixes are 20 MB of points, and a second of a small machine's time

	// Guarded by mu.
	mu          sync.Mutex
	listener    net.Listener
	problem     *problem.Problem // why it does not listen
	certificate *certificate     // nil without TLS, and before Listen
}

// New checks c, and the certificate's files that it names. It opens no port.
func New(c Config) (*Relay, error) {
	c, err := c.withDefaults()
	if err != nil {
		return nil, err
	}
	if _, err := c.openCertificate(false); err != nil {
		return nil, err
	}
	r := &Relay{config: c, log: c.Log, hub: newHub(c.limits(), c.Log, c.Layer), remotes: newRemotes(c.MaxConns, descriptors(), c.Proxies)}
	r.asker = newAsker(c.AuthURL, c.Log)
	r.access.Store(newAccess(c))
	if c.Admit > 0 {
		r.admission = newAdmission(c.Admit)
	}
	return r, nil
}

// SetTokens replaces the tokens of Config. Connections whose token is not valid any more are closed with 1008. An error
// leaves the tokens as they were.
func (r *Relay) SetTokens(viewer, publish string, devices map[string][]string) error {
	c := r.config
	c.Token, c.PublishToken, c.DeviceTokens = viewer, publish, devices
	if err := errors.Join(c.checkListen(), c.checkTokens()); err != nil {
		return err
	}
	r.access.Store(newAccess(c))
	for _, v := range r.hub.everyone() {
		r.revoke(v)
	}
	return nil
}

// revoke closes v if its token is not valid any more. It is called for every member when the tokens have changed, and for a
// new member once it is in its group, so that none slips through in between.
func (r *Relay) revoke(v *viewer) {
	if !r.access.Load().allows(v.grant, v.group.device) {
		v.shut(websocket.ClosePolicyViolation, "the token is not valid any more")
	}
}

// Listen opens the port, so that what is wrong with it is known before anything else starts, and makes the certificate that
// is to be made. Serve closes it.
func (r *Relay) Listen() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.listener != nil {
		return nil
	}
	lc := net.ListenConfig{Control: boundRequests}
	l, err := lc.Listen(context.Background(), "tcp", r.config.Listen)
	if err != nil {
		r.problem = listenProblem(r.config.Listen, err)
		return r.problem
	}
	if r.certificate, err = r.config.openCertificate(true); err != nil {
		r.problem = problem.Of(errors.Join(err, l.Close()))
		return r.problem
	}
	r.problem = nil
	if r.remotes.all < r.config.MaxConns {
		r.log.Warn("the limit of open files allows fewer connections than relay.max_conns", "max_conns", r.config.MaxConns, "connections", r.remotes.all)
	}
	r.listener = boundedListener{l, r.hub, r.remotes}
	if r.certificate != nil {
		r.listener = tls.NewListener(r.listener, r.certificate.config())
		r.log.Info("viewers are served with TLS", "certificate", r.config.CertFile, "fingerprint", r.certificate.fingerprint())
	}
	return nil
}

// URL is where the page is, with a slash at its end; "" before Listen. Of a relay at every address of the machine it is at
// the machine's name.
func (r *Relay) URL() string {
	address, ok := r.Addr().(*net.TCPAddr)
	if !ok {
		return ""
	}
	machine, _ := os.Hostname()
	return pageURL(address, machine, r.config.CertFile != "")
}

// pageURL names the machine instead of an address that cannot be opened, such as [::].
func pageURL(address *net.TCPAddr, machine string, secure bool) string {
	scheme, host := "http://", address.String()
	if secure {
		scheme = "https://"
	}
	if address.IP.IsUnspecified() && machine != "" {
		host = net.JoinHostPort(machine, strconv.Itoa(address.Port))
	}
	return scheme + host + "/"
}

// Fingerprint is the SHA-256 of the certificate as browsers show it; "" without TLS, and before Listen.
func (r *Relay) Fingerprint() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.certificate == nil {
		return ""
	}
	return r.certificate.fingerprint()
}

// listenProblem is why the port cannot be opened.
func listenProblem(address string, err error) *problem.Problem {
	p := &problem.Problem{Key: "listen", Err: err}
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		p.Code, p.Cause, p.Fix = CodeAddressInUse, fmt.Sprintf("another program listens on %q", address), "stop it, or choose another port"
	case errors.Is(err, syscall.EACCES):
		p.Code, p.Cause, p.Fix = CodePortPrivileged, fmt.Sprintf("the port of %q needs a privilege, being below 1024", address), "choose a higher one"
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		p.Code, p.Cause, p.Fix = CodeAddressMissing, fmt.Sprintf("this machine does not have the address %q", address), "use one that it has, or leave the host empty"
	default:
		p.Code, p.Cause, p.Fix = CodeListenFailed, fmt.Sprintf("%q cannot be opened: %v", address, err), "use another address"
	}
	return p
}

// Addr is where the relay listens; nil before Listen.
func (r *Relay) Addr() net.Addr {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.listener == nil {
		return nil
	}
	return r.listener.Addr()
}

// Serve serves until ctx ends. Then every viewer gets close code 1001, and Serve returns nil when they are gone, after about
// 3 s at most. It opens the port if Listen did not.
func (r *Relay) Serve(ctx context.Context) error {
	if err := r.Listen(); err != nil {
		return err
	}
	r.mu.Lock()
	l := r.listener
	r.mu.Unlock()
	return r.serve(ctx, l)
}

func (r *Relay) serve(ctx context.Context, l net.Listener) error {
	server := &http.Server{
		Handler:           r.handler(),
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       10 * time.Second,
		WriteTimeout:      30 * time.Second,
		IdleTimeout:       60 * time.Second,
		MaxHeaderBytes:    16 << 10,
		ConnContext:       func(ctx context.Context, c net.Conn) context.Context { return context.WithValue(ctx, connKey{}, c) },
		// OPTIONS * is counted and refused as any other request.
		DisableGeneralOptionsHandler: true,
		ErrorLog:                     slog.NewLogLogger(r.log.Handler(), slog.LevelDebug),
	}
	carrying, stopLayer := context.WithCancel(context.WithoutCancel(ctx))
	g, ctx := errgroup.WithContext(ctx)
	if r.config.Layer != nil {
		g.Go(func() error { return r.config.Layer.Run(carrying, r.hub) })
	}
	g.Go(func() error {
		err := server.Serve(l)
		if errors.Is(err, http.ErrServerClosed) {
			return nil
		}
		return &problem.Problem{Code: CodeListenFailed, Key: "listen", Cause: fmt.Sprintf("%q cannot be served any more: %v", r.config.Listen, err), Err: err}
	})
	g.Go(func() error {
		defer stopLayer() // members get their echoes first
		r.hub.sweep(ctx)
		// Shutdown stops listening and ends plain requests; WebSockets are the hub's.
		stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		if server.Shutdown(stop) != nil {
			server.Close()
		}
		r.hub.close()
		r.asker.close()
		return nil
	})
	return g.Wait()
}

// longestNotice bounds how long a load balancer is left to notice that /healthz is 503 before connections are closed: HAProxy takes
// three checks with two seconds between them.
const longestNotice = 6 * time.Second

// Drain prepares for the end of Serve: clients are refused with 503, and so is /healthz; after a quarter of the time over, so that a load
// balancer has noticed, the connections of members are closed with 1001, spread over the rest. It returns when there are no members any more, or ctx ends.
func (r *Relay) Drain(ctx context.Context, over time.Duration) {
	r.hub.draining.Store(true)
	if over <= 0 || r.hub.conns.Load() == 0 {
		return
	}
	notice := min(over/4, longestNotice)
	r.log.Info("draining: connections are closed, no client is admitted", "connections", r.hub.conns.Load(), "over", over)
	r.hub.spread(ctx, r.hub.everyone(), notice, over-notice, "the relay is shutting down")
}

// rebalanceTime is 1 % of the connections a second.
const rebalanceTime = 100 * time.Second

// Rebalance closes the connections of all that are members now with 1001, 1 % a second, at least one. They connect again, and a load balancer in front
// spreads them. It returns when all are closed, or ctx ends, and at once while another call goes on.
func (r *Relay) Rebalance(ctx context.Context) {
	if !r.hub.rebalancing.CompareAndSwap(false, true) {
		return
	}
	defer r.hub.rebalancing.Store(false)
	members := r.hub.everyone()
	over := min(rebalanceTime, time.Duration(len(members))*time.Second)
	r.log.Info("rebalancing: connections are closed, to be opened again", "connections", len(members), "over", over)
	r.hub.spread(ctx, members, 0, over, "connect again: the load is spread")
}

// Wants reports whether any member would get a message of class in the group of device now or on joining later: false only
// for "NMEA" (raw data of a receiver) while no member asked for it with ?nmea=1. It is cheap while no member did, so the
// program can ask before it makes such a message.
func (r *Relay) Wants(device, class string) bool {
	if class != classNMEA {
		return true
	}
	g := r.hub.lookup(device)
	return g != nil && g.wantsRaw()
}

// Publish gives msg, one JSON text in UTF-8, to the group of device. class is its "class" member: "TPV" is kept for members
// that join later, "SKY" and "NMEA" go only to members that asked for them. msg must not change from then on. Publish never
// waits for a viewer.
func (r *Relay) Publish(device, class string, msg []byte) {
	err := r.hub.publish(device, newMessage(header{Class: class}, msg), nil)
	if err != nil && !errors.Is(err, errClosing) {
		r.log.Warn("message not published", "device_id", device, "err", err)
	}
}
