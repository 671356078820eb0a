// Package fetch gets sealed files from where their tickets say they are: over HTTPS, a
// part at a time, and no more than the ticket allows.
//
// Start at [New] and [NewDownload]; whoever owns the download calls [Client.Attempt] whenever
// [Download.Due] has come, until it returns nil or an [Error] that is final. An attempt
// is one request. What it brought is kept when the connection breaks, and the next one goes on
// from there (RFC 9110, sections 13.1.5 and 14).
//
// A source is trusted with nothing: its certificate has to chain to the roots, over TLS 1.3;
// it cannot send elsewhere, or send more than the file has bytes; what it says of ranges is held
// against what was asked; and the digest decides at the end. A source that breaks a rule is asked
// no more, one that only fails is asked again later, the others first. What is fetched is
// ciphertext, in memory; nothing is written to a disk, and no text of a source gets into an
// error or a log.
package fetch

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

const (
	dialTime    = 15 * time.Second
	answerTime  = 30 * time.Second
	attemptTime = 10 * time.Minute // after it, others have their turn
	stallTime   = time.Minute      // in which a source sends leastBytes, or is slow
	leastBytes  = 64 << 10
	mostResets  = 3 // times that a source may make a download begin anew
	mostHops    = 3 // redirects
	backoffMin  = time.Second
	backoffMax  = 5 * time.Minute
)

// Error is why an attempt did not bring a file.
type Error struct {
	Code  string // for programs: "unreachable", "certificate", "broken", "slow", "busy", "status", "moved", "range", "size", "unsteady" or "digest"
	What  string // for people
	Final bool   // no source is left to ask
}

// Error says what happened.
func (e *Error) Error() string { return e.What }

// Sink keeps what has come of a file; intake.Filling is one.
type Sink interface {
	io.Writer
	Len() int64       // bytes written
	Digest() [32]byte // SHA-256 of them
	Reset() error     // forget them
}

// File is what is fetched.
type File struct {
	Sources []string // https URLs
	Size    int64    // bytes, above 0
	Digest  [32]byte // SHA-256
}

// Download is a file on its way into its sink. It is used by one goroutine at a time.
type Download struct {
	file   File
	sink   Sink
	at     int    // source that is asked next
	from   int    // source of what is in the sink
	etag   string // what that source calls it; "" if it has no strong name for it
	struck []bool // sources that are asked no more
	resets []int
	fails  int // attempts in a row that brought little
	due    time.Time
}

// NewDownload begins the download of a file into sink, which is empty.
func NewDownload(f File, sink Sink) *Download {
	return &Download{file: f, sink: sink, struck: make([]bool, len(f.Sources)), resets: make([]int, len(f.Sources))}
}

// Due is when the next attempt may be made.
func (d *Download) Due() time.Time { return d.due }

// Client makes attempts. Its methods may be called from any goroutine.
type Client struct {
	http  *http.Client
	stall time.Duration
}

// New makes a client that trusts roots alone; nil are the system's.
func New(roots *x509.CertPool) *Client {
	return &Client{stall: stallTime, http: &http.Client{
		Transport: &http.Transport{
			DialContext:            (&net.Dialer{Timeout: dialTime}).DialContext,
			TLSClientConfig:        &tls.Config{MinVersion: tls.VersionTLS13, RootCAs: roots},
			TLSHandshakeTimeout:    dialTime,
			ResponseHeaderTimeout:  answerTime,
			MaxResponseHeaderBytes: 16 << 10,
			DisableKeepAlives:      true,
			DisableCompression:     true,
		},
		CheckRedirect: func(req *http.Request, via []*http.Request) error {
			if len(via) > mostHops || req.URL.Scheme != "https" || req.URL.Host != via[0].URL.Host || req.URL.User != nil {
				return errMoved
			}
			return nil
		},
	}}
}

var (
	errMoved = errors.New("a redirect to another place")
	errSlow  = errors.New("too slow")
)

// Attempt makes one request for what is missing. Nil means that the file is in the sink, and
// is the one that was asked for. Any other error than an [Error] is the sink's, or ctx's.
func (c *Client) Attempt(ctx context.Context, d *Download) error {
	if !d.pick() {
		return &Error{"status", "it has no source to be fetched from", true}
	}
	had := d.sink.Len()
	err := c.once(ctx, d)
	if err == nil {
		return nil
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	d.fails++
	if d.from == d.at && d.sink.Len() >= had+leastBytes {
		d.fails = 0 // the source brings what it has
	}
	d.due = time.Now().Add(backoff(d.fails))
	e, ok := errors.AsType[*Error](err)
	if !ok {
		return err
	}
	if strikes(e.Code) {
		d.struck[d.at] = true
	}
	if d.fails > 0 || d.struck[d.at] {
		d.at++
	}
	e.Final = !d.pick()
	return e
}

// strikes reports whether a source with this fault is asked no more.
func strikes(code string) bool {
	switch code {
	case "unreachable", "certificate", "broken", "slow", "busy":
		return false
	}
	return true
}

// pick makes at the next source that may be asked, if there is one.
func (d *Download) pick() bool {
	for range d.file.Sources {
		if d.at %= len(d.file.Sources); !d.struck[d.at] {
			return true
		}
		d.at++
	}
	return false
}

// backoff is how long to wait after so many attempts in vain: doubling, and anywhere in
// the upper half, so that printers do not come back all at once.
func backoff(fails int) time.Duration {
	d := min(backoffMin<<min(fails, 16), backoffMax)
	return d/2 + rand.N(d/2)
}

// once asks the present source.
func (c *Client) once(ctx context.Context, d *Download) error {
	ctx, cancel := context.WithTimeout(ctx, attemptTime)
	defer cancel()
	ctx, end := context.WithCancelCause(ctx)
	defer end(nil)
	stall := time.AfterFunc(c.stall, func() { end(errSlow) })
	defer stall.Stop()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, d.file.Sources[d.at], nil)
	if err != nil {
		return &Error{Code: "status", What: "a source is not a URL"}
	}
	req.Header.Set("User-Agent", "platen")
	req.Header.Set("Accept-Encoding", "identity")
	offset := int64(0)
	if d.from == d.at {
		offset = d.sink.Len()
	}
	if offset > 0 {
		req.Header.Set("Range", "bytes="+strconv.FormatInt(offset, 10)+"-")
		if d.etag != "" {
			req.Header.Set("If-Range", d.etag)
		}
	}
	res, err := c.http.Do(req)
	if err != nil {
		return failure(ctx, err)
	}
	defer res.Body.Close()
	if err := d.accept(res, offset); err != nil {
		return err
	}
	return d.take(ctx, res.Body, func() { stall.Reset(c.stall) })
}

// failure says what kind of fault an error of the network is, without the URL and without
// what the other end may have put into it.
func failure(ctx context.Context, err error) error {
	switch {
	case errors.Is(context.Cause(ctx), errSlow):
		return &Error{Code: "slow", What: "a source is too slow"}
	case err == io.EOF: // also what is read when the source sees our end close first
		return &Error{Code: "broken", What: "a source ended before the file did"}
	case errors.Is(err, errMoved):
		return &Error{Code: "moved", What: "a source sends to another place, which the ticket does not name"}
	}
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return &Error{Code: "certificate", What: "the certificate of a source is not trusted: see job_ca in the configuration"}
	}
	if op, ok := errors.AsType[*net.OpError](err); ok && op.Op == "dial" {
		return &Error{Code: "unreachable", What: "a source cannot be reached: " + op.Err.Error()}
	}
	if e, ok := errors.AsType[*url.Error](err); ok && e.Timeout() {
		return &Error{Code: "slow", What: "a source does not answer in time"}
	}
	return &Error{Code: "broken", What: "the connection to a source broke"}
}

// accept holds an answer against what was asked, and empties the sink if the file begins anew.
func (d *Download) accept(res *http.Response, offset int64) error {
	if e := res.Header.Get("Content-Encoding"); e != "" && e != "identity" {
		return &Error{Code: "status", What: "a source encodes the file"}
	}
	switch res.StatusCode {
	case http.StatusOK:
		if res.ContentLength >= 0 && res.ContentLength != d.file.Size {
			return &Error{Code: "size", What: "the file of a source has another size than its ticket says"}
		}
		if err := d.anew(); err != nil {
			return err
		}
		d.from, d.etag = d.at, strong(res)
		return nil
	case http.StatusPartialContent:
		return d.acceptPart(res, offset)
	case http.StatusRequestedRangeNotSatisfiable:
		return &Error{Code: "size", What: "the file of a source has another size than its ticket says"}
	case http.StatusRequestTimeout, http.StatusTooEarly, http.StatusTooManyRequests, http.StatusInternalServerError,
		http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return &Error{Code: "busy", What: fmt.Sprintf("a source has no time: status %d", res.StatusCode)}
	}
	return &Error{Code: "status", What: fmt.Sprintf("a source does not have the file: status %d", res.StatusCode)}
}

// acceptPart checks a part: the one that was asked for, of the file that was begun.
func (d *Download) acceptPart(res *http.Response, offset int64) error {
	var first, last, size int64
	text := res.Header.Get("Content-Range")
	if _, err := fmt.Sscanf(text, "bytes %d-%d/%d", &first, &last, &size); err != nil || text != fmt.Sprintf("bytes %d-%d/%d", first, last, size) ||
		offset == 0 || first != offset || last < first || last >= size {
		return &Error{Code: "range", What: "a source sends a part that was not asked for"}
	}
	if size != d.file.Size {
		return &Error{Code: "size", What: "the file of a source has another size than its ticket says"}
	}
	if d.etag != "" && strong(res) != d.etag { // it should have sent all of the new one
		if err := d.anew(); err != nil {
			return err
		}
		return &Error{Code: "broken", What: "the file of a source has changed"}
	}
	return nil
}

// anew empties the sink. A source may cause that only a few times; what it does not go on with
// because another one has begun it is not its fault.
func (d *Download) anew() error {
	if d.sink.Len() == 0 {
		return nil
	}
	if d.from == d.at {
		d.resets[d.at]++
	}
	if d.resets[d.at] > mostResets {
		return &Error{Code: "unsteady", What: "a source begins anew again and again"}
	}
	return d.sink.Reset()
}

// strong is the ETag of an answer, "" if it has none by which parts can be told to belong
// together (RFC 9110, section 8.8.1).
func strong(res *http.Response) string {
	e := res.Header.Get("ETag")
	if len(e) < 2 || len(e) > 256 || !strings.HasPrefix(e, `"`) {
		return ""
	}
	return e
}

// take writes a body to the sink until the file is whole, and then checks it. alive is called
// whenever enough has come.
func (d *Download) take(ctx context.Context, body io.Reader, alive func()) error {
	buf := make([]byte, 32<<10)
	for got := int64(0); d.sink.Len() < d.file.Size; {
		n, err := body.Read(buf[:min(int64(len(buf)), d.file.Size-d.sink.Len())])
		if _, werr := d.sink.Write(buf[:n]); werr != nil {
			return fmt.Errorf("keeping what was fetched: %w", werr)
		}
		if got += int64(n); got >= leastBytes {
			got = 0
			alive()
		}
		switch {
		case d.sink.Len() == d.file.Size:
		case err != nil:
			return failure(ctx, err)
		}
	}
	if d.sink.Digest() != d.file.Digest {
		return errors.Join(&Error{Code: "digest", What: "the file of a source is another one than its ticket says"}, d.sink.Reset())
	}
	return nil
}
