package rig

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
)

// MosquittoConfig says how a Mosquitto broker does mutual TLS. All files are PEM.
type MosquittoConfig struct {
	// CA is the authority that client certificates must chain to.
	CA string
	// CRL, if set, is the lists of revoked certificates, one for each authority in CA.
	CRL string
	// Cert and Key are the broker's own.
	Cert, Key string
	// Addr is the address to listen on, host:port; empty takes a free one of the loopback.
	Addr string
	// Persist has the broker keep what it has not delivered in its folder when it is stopped, and
	// not bound how much waits there.
	Persist bool
	// Autosave has it do so after each change as well, though not before it acknowledges a message.
	Autosave bool
	// ACL is the lines of an access list, in which %u is the common name of the
	// client's certificate; empty lets every client do everything.
	ACL []string
}

// Mosquitto is an MQTT broker that runs.
type Mosquitto struct {
	// Addr is its address on the loopback, host:port.
	Addr string
	run  *child
}

// StartMosquitto runs a broker that takes TLS 1.3 with a client certificate and
// nothing else, until Stop or the end of ctx. It keeps its configuration and log in
// dir.
func StartMosquitto(ctx context.Context, dir string, cfg MosquittoConfig) (*Mosquitto, error) {
	mosquitto, err := find("mosquitto")
	if err != nil {
		return nil, err
	}
	if dir, err = filepath.Abs(dir); err != nil {
		return nil, fmt.Errorf("start mosquitto: %w", err)
	}
	if cfg.Addr != "" {
		return startMosquitto(ctx, mosquitto, dir, cfg.Addr, cfg)
	}
	// Between finding a port and taking it somebody else may take it: then again.
	for try := 0; ; try++ {
		addr, err := FreePort()
		if err != nil {
			return nil, fmt.Errorf("start mosquitto: %w", err)
		}
		m, err := startMosquitto(ctx, mosquitto, dir, addr, cfg)
		if err == nil || try == 2 || ctx.Err() != nil {
			return m, err
		}
	}
}

func startMosquitto(ctx context.Context, t tool, dir, addr string, cfg MosquittoConfig) (*Mosquitto, error) {
	conf, err := writeMosquittoConf(dir, addr, cfg)
	if err != nil {
		return nil, err
	}
	run, err := t.start(ctx, filepath.Join(dir, "mosquitto.log"), "-c", conf)
	if err != nil {
		return nil, err
	}
	err = run.ready(ctx, func() error {
		conn, err := net.Dial("tcp", addr)
		if err != nil {
			return err
		}
		return conn.Close()
	})
	if err != nil {
		run.stop()
		return nil, err
	}
	return &Mosquitto{Addr: addr, run: run}, nil
}

// Stop ends the broker.
func (m *Mosquitto) Stop() { m.run.stop() }

// Kill ends the broker as the kernel does when there is no memory.
func (m *Mosquitto) Kill() { m.run.kill() }

func writeMosquittoConf(dir, addr string, cfg MosquittoConfig) (string, error) {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return "", fmt.Errorf("configure mosquitto: %w", err)
	}
	lines := []string{
		"listener " + port + " " + host,
		"cafile " + cfg.CA, "certfile " + cfg.Cert, "keyfile " + cfg.Key,
		"tls_version tlsv1.3", "require_certificate true", "use_identity_as_username true",
		"allow_anonymous false", "log_dest stderr", "log_type all",
	}
	if cfg.CRL != "" {
		lines = append(lines, "crlfile "+cfg.CRL)
	}
	if cfg.Persist {
		lines = append(lines, "persistence true", "persistence_location "+dir+"/", "max_queued_messages 0")
	} else {
		lines = append(lines, "persistence false")
	}
	if cfg.Autosave {
		lines = append(lines, "autosave_on_changes true", "autosave_interval 1")
	}
	if os.Geteuid() == 0 { // it would change to a user who may not read the keys
		lines = append(lines, "user root")
	}
	if len(cfg.ACL) > 0 {
		acl := filepath.Join(dir, "mosquitto.acl")
		if err := os.WriteFile(acl, []byte(strings.Join(cfg.ACL, "\n")+"\n"), 0o600); err != nil {
			return "", fmt.Errorf("configure mosquitto: %w", err)
		}
		lines = append(lines, "acl_file "+acl)
	}
	conf := filepath.Join(dir, "mosquitto.conf")
	if err := os.WriteFile(conf, []byte(strings.Join(lines, "\n")+"\n"), 0o600); err != nil {
		return "", fmt.Errorf("configure mosquitto: %w", err)
	}
	return conf, nil
}
