package trust

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"platen/updater"
)

// errNotFound reports a file that the repository does not have.
var errNotFound = errors.New("no such file in the repository")

// absent makes a missing file that should be there a reason of package updater.
func absent(err error) error {
	if errors.Is(err, errNotFound) {
		return fmt.Errorf("%w: %w", updater.ErrUnavailable, err)
	}
	return err
}

// fetcher reads files of a repository by their slash-separated path, whose parts are
// escaped as those of a URL.
type fetcher interface {
	// open returns the contents of a file from offset on, or as [headed].
	open(ctx context.Context, path string, offset int64) (io.ReadCloser, error)
}

// mirror is one place of a repository: its metadata and its targets.
type mirror struct{ meta, files fetcher }

func newMirror(location, files string, client *http.Client) (m mirror, err error) {
	if m.meta, err = newFetcher(location, client); err != nil {
		return mirror{}, err
	}
	if m.files = within(m.meta, "targets/"); files != "" {
		m.files, err = newFetcher(files, client)
	}
	return m, err
}

// folder is a folder of a repository.
type folder struct {
	of   fetcher
	name string
}

func within(of fetcher, name string) fetcher { return folder{of, name} }

func (f folder) open(ctx context.Context, path string, offset int64) (io.ReadCloser, error) {
	return f.of.open(ctx, f.name+path, offset)
}

func newFetcher(location string, client *http.Client) (fetcher, error) {
	u, err := url.Parse(location)
	if err != nil || location == "" {
		return nil, errors.New("the repository's address is neither a URL nor a folder")
	}
	switch u.Scheme {
	case "http", "https":
		u.Path = strings.TrimSuffix(u.Path, "/") + "/"
		if u.RawPath != "" {
			u.RawPath = strings.TrimSuffix(u.RawPath, "/") + "/"
		}
		return &httpFetcher{base: u, client: guarded(client)}, nil
	case "file":
		return dirFetcher(u.Path), nil
	case "":
		return dirFetcher(location), nil
	}
	return nil, fmt.Errorf("the repository's address has the scheme %q: use https, http or file", u.Scheme)
}

// dirFetcher reads a repository from a folder, such as a memory stick.
type dirFetcher string

func (d dirFetcher) open(_ context.Context, path string, offset int64) (io.ReadCloser, error) {
	root, err := os.OpenRoot(string(d))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", updater.ErrUnavailable, err)
	}
	defer root.Close()
	name, err := url.PathUnescape(path)
	if err != nil {
		return nil, errNotFound
	}
	name = filepath.FromSlash(name)
	st, err := root.Stat(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, errNotFound
	}
	if err != nil || !st.Mode().IsRegular() {
		return nil, fmt.Errorf("%w: not a regular file", updater.ErrUnavailable)
	}
	f, err := root.Open(name)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", updater.ErrUnavailable, err)
	}
	if _, err := f.Seek(offset, io.SeekStart); err != nil {
		return nil, fmt.Errorf("%w: %w", updater.ErrUnavailable, errors.Join(err, f.Close()))
	}
	return f, nil
}

// httpFetcher reads a repository from a web server.
type httpFetcher struct {
	base   *url.URL
	client *http.Client
}

// guarded returns a client with timeouts, small headers, few redirects, and none
// that gives up encryption.
func guarded(c *http.Client) *http.Client {
	g := &http.Client{}
	if c != nil {
		*g = *c
	}
	if g.Transport == nil {
		g.Transport = &http.Transport{
			Proxy:                  http.ProxyFromEnvironment,
			DialContext:            (&net.Dialer{Timeout: 15 * time.Second}).DialContext,
			TLSHandshakeTimeout:    15 * time.Second,
			ResponseHeaderTimeout:  30 * time.Second,
			IdleConnTimeout:        30 * time.Second,
			MaxResponseHeaderBytes: 64 << 10,
			MaxIdleConns:           2,
			ForceAttemptHTTP2:      true,
		}
	}
	g.CheckRedirect = func(req *http.Request, via []*http.Request) error {
		if len(via) > 3 {
			return errors.New("too many redirects")
		}
		if via[0].URL.Scheme == "https" && req.URL.Scheme != "https" {
			return errors.New("redirect away from https")
		}
		return nil
	}
	return g
}

func (h *httpFetcher) open(ctx context.Context, path string, offset int64) (io.ReadCloser, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, h.base.JoinPath(path).String(), nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("User-Agent", "platen")
	req.Header.Set("Accept-Encoding", "identity") // a length that counts
	if offset > 0 {
		req.Header.Set("Range", "bytes="+strconv.FormatInt(offset, 10)+"-")
	}
	res, err := h.client.Do(req)
	if err != nil {
		if cause := context.Cause(ctx); cause != nil {
			return nil, cause
		}
		return nil, fmt.Errorf("%w: %w", updater.ErrUnavailable, err)
	}
	if err := from(res, offset); err != nil {
		res.Body.Close()
		return nil, err
	}
	if res.StatusCode == http.StatusOK && offset > 0 { // the server ignored the range
		return headed{res.Body, offset}, nil
	}
	return res.Body, nil
}

// headed is a file from its beginning: what was asked for comes behind so many bytes.
type headed struct {
	io.ReadCloser
	head int64
}

// from checks the status and the range.
func from(res *http.Response, offset int64) error {
	switch res.StatusCode {
	case http.StatusOK:
		return nil
	case http.StatusPartialContent:
		want := "bytes " + strconv.FormatInt(offset, 10) + "-"
		if offset == 0 || !strings.HasPrefix(res.Header.Get("Content-Range"), want) {
			return fmt.Errorf("%w: a range that was not asked for", updater.ErrUnavailable)
		}
		return nil
	case http.StatusNotFound, http.StatusForbidden, http.StatusGone:
		return errNotFound // private buckets say 403
	case http.StatusRequestedRangeNotSatisfiable:
		return updater.ErrTruncated
	}
	return fmt.Errorf("%w: status %d", updater.ErrUnavailable, res.StatusCode)
}

// get reads a whole file of metadata of at most limit bytes.
func (c *Client) get(ctx context.Context, path string, limit int64) ([]byte, error) {
	return c.read(ctx, c.mirrors[c.at].meta, path, limit)
}

func (c *Client) read(ctx context.Context, from fetcher, path string, limit int64) ([]byte, error) {
	p := newPace(ctx, c.cfg.Stall)
	defer p.stop()
	body, err := p.open(from, path, 0)
	if err != nil {
		return nil, err
	}
	defer body.Close()
	data, err := io.ReadAll(io.LimitReader(body, limit+1))
	if err != nil {
		return nil, err
	}
	if int64(len(data)) > limit {
		return nil, fmt.Errorf("more than %d bytes: %w", limit, updater.ErrTooLong)
	}
	return data, nil
}

// pace ends a transfer that is slower than paceBytes in each stall. Only time spent
// waiting for the repository counts.
type pace struct {
	ctx   context.Context
	end   context.CancelCauseFunc
	stall time.Duration
	spent time.Duration // waiting, since paceBytes last arrived
	got   int64         // bytes in that time
	timer *time.Timer
}

const paceBytes = 64 << 10

func newPace(ctx context.Context, stall time.Duration) *pace {
	p := &pace{stall: stall}
	p.ctx, p.end = context.WithCancelCause(ctx)
	p.timer = time.AfterFunc(time.Hour, func() { p.end(updater.ErrSlow) })
	p.timer.Stop()
	return p
}

func (p *pace) stop() {
	p.timer.Stop()
	p.end(nil)
}

// timed runs one wait for the repository.
func (p *pace) timed(wait func() (int, error)) (int, error) {
	begun := time.Now()
	p.timer.Reset(max(p.stall-p.spent, time.Millisecond))
	n, err := wait()
	p.timer.Stop()
	p.spent += time.Since(begun)
	if p.got += int64(n); p.got >= paceBytes {
		p.got, p.spent = 0, 0
	}
	if err != nil && err != io.EOF {
		if cause := context.Cause(p.ctx); cause != nil {
			err = cause
		}
	}
	return n, err
}

func (p *pace) open(f fetcher, path string, offset int64) (io.ReadCloser, error) {
	var body io.ReadCloser
	_, err := p.timed(func() (n int, err error) {
		body, err = f.open(p.ctx, path, offset)
		return 0, err
	})
	if err != nil {
		return nil, err
	}
	paced := &pacedBody{p, body}
	if h, ok := body.(headed); ok {
		if _, err := io.CopyN(io.Discard, paced, h.head); err != nil {
			body.Close()
			if err == io.EOF {
				err = updater.ErrTruncated
			}
			return nil, err
		}
	}
	return paced, nil
}

type pacedBody struct {
	p    *pace
	body io.ReadCloser
}

func (b *pacedBody) Read(q []byte) (int, error) {
	n, err := b.p.timed(func() (int, error) { return b.body.Read(q) })
	if err != nil && err != io.EOF && updater.Code(err) == "failed" && context.Cause(b.p.ctx) == nil {
		err = fmt.Errorf("%w: %w", updater.ErrTruncated, err)
	}
	return n, err
}

func (b *pacedBody) Close() error { return b.body.Close() }
