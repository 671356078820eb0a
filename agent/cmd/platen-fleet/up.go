package main

import (
	"bufio"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"platen/agent/cli"
	"platen/agent/fleet"
	"platen/agent/fleet/ingest"
	"platen/agent/fleet/store"
)

// upFlags are the flags of up that are not a field of fleet.Config.
type upFlags struct {
	cfg                             fleet.Config
	ekList                          string
	agents                          []string
	broker, brokerCA, brokerCert    string
	brokerKey, brokerClient, logLvl string
}

func upCmd() *cobra.Command {
	var f upFlags
	c := &cobra.Command{
		Use:   "up --dir DIR",
		Short: "Run broker, enrolment, verifier, update files and sealed jobs",
		Long: "Run the fleet's side until it is interrupted. It listens on this machine only unless\n" +
			"told otherwise; port 0 takes a free port. With -o jsonl each event is one line of JSON:\n" +
			"ready, enrolled, batch, missing, refused, silent, heard, sensors, offered, leaves, releases, stopped.",
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return up(c, &f) },
	}
	fs := c.Flags()
	fs.StringVar(&f.cfg.Dir, "dir", "", "folder of the fleet's state; made if need be (required)")
	fs.StringVar(&f.cfg.Name, "name", "", "name of the recipient as owners see it when they consent")
	fs.StringVar(&f.cfg.ListenMQTT, "listen-mqtt", "127.0.0.1:8883", "address of the broker")
	fs.StringVar(&f.cfg.ListenHTTPS, "listen-https", "127.0.0.1:8443", "address of enrolment, update files and sealed jobs")
	fs.StringSliceVar(&f.cfg.Hosts, "host", nil, "further name or address that printers reach this machine by")
	fs.StringVar(&f.cfg.PublicMQTT, "public-mqtt", "", "broker address that printers are told, if not the one listened on")
	fs.StringVar(&f.cfg.PublicHTTPS, "public-https", "", "base URL that printers fetch sealed jobs from (https://host:port), if not the address listened on")
	fs.StringVar(&f.cfg.TUF, "tuf", "", "folder of the update repository, served below /tuf/")
	fs.StringVar(&f.cfg.Configurations, "configurations", "", "file of sha256sum: the only configurations that printers may run with (default: any, and changes are told)")
	fs.StringVar(&f.cfg.TUFRoot, "tuf-root", "", "root metadata that its releases are verified from (default: the first root it has, kept at the first start)")
	fs.StringSliceVar(&f.cfg.EKCAs, "ek-ca", nil, "PEM file, or folder of them, with authorities of TPM makers to trust")
	fs.StringSliceVar(&f.cfg.ClientCAs, "client-ca", nil, "PEM file with a further authority of printers' certificates, such as that of an ACME server")
	fs.StringVar(&f.ekList, "ek-list", "", "factory list: file with the SHA-256 of one endorsement key in hexadecimal a line")
	fs.StringSliceVar(&f.agents, "agent", nil, "agent known without a repository, as NUMBER=FILE")
	fs.DurationVar(&f.cfg.NonceEvery, "nonce-every", time.Minute, "time between two nonces to each printer")
	fs.DurationVar(&f.cfg.SilentAfter, "silent-after", ingest.SilentAfter, "how long nothing is believed of a printer until that is an event; three of its own slots, if that is longer")
	fs.DurationVar(&f.cfg.Keep, "keep", store.DefaultKeep, "how long events and sealed files are kept")
	fs.StringVar(&f.broker, "broker", "", "use this MQTT v5 broker (host:port) in place of the built-in one")
	fs.StringVar(&f.brokerCA, "broker-ca", "", "PEM certificate that the broker's chains to")
	fs.StringVar(&f.brokerCert, "broker-cert", "", "PEM certificate that the fleet shows the broker")
	fs.StringVar(&f.brokerKey, "broker-key", "", "PEM key of that certificate")
	fs.StringVar(&f.brokerClient, "broker-client-id", "platen-fleet", "MQTT client id of the fleet at the broker")
	fs.StringVar(&f.logLvl, "log", "warn", "what to log on standard error: debug, info, warn or error")
	return c
}

func up(c *cobra.Command, f *upFlags) error {
	if f.cfg.Dir == "" {
		return cli.Usage("--dir is required: the folder of the fleet's state")
	}
	if f.cfg.PublicHTTPS != "" && !strings.HasPrefix(f.cfg.PublicHTTPS, "https://") {
		return cli.Usage("--public-https %q: want https://host:port", f.cfg.PublicHTTPS)
	}
	out := cli.OutputOf(c)
	if out == cli.JSON {
		return cli.Usage("up goes on until it is interrupted: use -o jsonl")
	}
	var level slog.Level
	if err := level.UnmarshalText([]byte(f.logLvl)); err != nil {
		return cli.Usage("--log %q: use debug, info, warn or error", f.logLvl)
	}
	f.cfg.Logger = slog.New(slog.NewTextHandler(c.ErrOrStderr(), &slog.HandlerOptions{Level: level}))
	var err error
	if f.cfg.EKs, err = readEKs(f.ekList); err != nil {
		return err
	}
	if f.cfg.Agents, err = readAgents(f.agents); err != nil {
		return err
	}
	if f.broker != "" {
		if err := f.bridge(); err != nil {
			return err
		}
	}
	f.cfg.Emit = printer(c.OutOrStdout(), out)
	return fleet.Up(c.Context(), f.cfg)
}

// bridge reads what a broker of the operator's own needs.
func (f *upFlags) bridge() error {
	if f.brokerCA == "" || f.brokerCert == "" || f.brokerKey == "" {
		return cli.Usage("--broker needs --broker-ca, --broker-cert and --broker-key")
	}
	cert, err := tls.LoadX509KeyPair(f.brokerCert, f.brokerKey)
	if err != nil {
		return fmt.Errorf("read the broker certificate: %w", err)
	}
	b, err := os.ReadFile(f.brokerCA)
	if err != nil {
		return fmt.Errorf("read the broker's CA: %w", err)
	}
	block, _ := pem.Decode(b)
	if block == nil {
		return fmt.Errorf("%s holds no certificate in PEM", f.brokerCA)
	}
	ca, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return fmt.Errorf("%s: %w", f.brokerCA, err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(ca)
	f.cfg.BridgeCA = ca.Raw
	f.cfg.Bridge = &ingest.BridgeConfig{Broker: f.broker, ClientID: f.brokerClient, Logger: f.cfg.Logger,
		TLS: &tls.Config{MinVersion: tls.VersionTLS13, RootCAs: roots, Certificates: []tls.Certificate{cert}}}
	return nil
}

// readEKs reads a factory list; lines that begin with # are comments.
func readEKs(path string) (map[[32]byte]bool, error) {
	if path == "" {
		return nil, nil
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("read the factory list: %w", err)
	}
	defer f.Close()
	eks := map[[32]byte]bool{}
	sc := bufio.NewScanner(f)
	for n := 1; sc.Scan(); n++ {
		line := strings.TrimSpace(sc.Text())
		if line == "" || line[0] == '#' {
			continue
		}
		b, err := hex.DecodeString(line)
		if err != nil || len(b) != sha256.Size {
			return nil, fmt.Errorf("%s:%d: want 64 hexadecimal digits", path, n)
		}
		eks[[32]byte(b)] = true
	}
	return eks, sc.Err()
}

// readAgents hashes the files of NUMBER=FILE.
func readAgents(args []string) (map[[32]byte]uint64, error) {
	agents := map[[32]byte]uint64{}
	for _, a := range args {
		num, path, ok := strings.Cut(a, "=")
		n, err := strconv.ParseUint(num, 10, 64)
		if !ok || err != nil || n == 0 {
			return nil, cli.Usage("--agent %q: want NUMBER=FILE, numbers from 1", a)
		}
		f, err := os.Open(path)
		if err != nil {
			return nil, fmt.Errorf("measure an agent: %w", err)
		}
		h := sha256.New()
		_, err = io.Copy(h, f)
		_ = f.Close() // it was only read from
		if err != nil {
			return nil, fmt.Errorf("measure an agent: %w", err)
		}
		agents[[32]byte(h.Sum(nil))] = n
	}
	return agents, nil
}

// printer prints events as they come, as JSON or for people.
func printer(w io.Writer, out cli.Output) func(store.Event) {
	var mu sync.Mutex
	enc := json.NewEncoder(w)
	return func(e store.Event) {
		mu.Lock()
		defer mu.Unlock()
		if out == cli.JSONL {
			_ = enc.Encode(e) // whoever reads may have gone; the log has it all
			return
		}
		fmt.Fprintln(w, line(e))
	}
}

// line is an event as people read it.
func line(e store.Event) string {
	at := e.At.Local().Format("15:04:05")
	who := e.Printer
	if len(who) > 12 {
		who = who[:12] + "…"
	}
	switch e.Event {
	case store.Ready:
		return fmt.Sprintf("%s ready: broker %s, enrolment and updates %s, CA %s, %d releases known", at, e.MQTT, e.HTTPS, e.CA, e.Known)
	case store.Enrolled:
		return fmt.Sprintf("%s %s enrolled, runs release %d", at, who, e.Release)
	case store.Batch:
		return fmt.Sprintf("%s %s batch %d verified: release %d, %d messages%s", at, who, e.Seq, e.Release, e.Msgs, remarks(e))
	case store.Missing:
		return fmt.Sprintf("%s %s batches %d to %d are missing", at, who, e.From, e.To)
	case store.Refused:
		return fmt.Sprintf("%s %s refused: %s", at, who, e.Reason)
	case store.Leaves:
		return fmt.Sprintf("%s %s is %s", at, who, e.Reason)
	case store.Silent:
		return fmt.Sprintf("%s %s is silent since %s", at, who, e.Since.Local().Format("15:04:05"))
	case store.Heard:
		return fmt.Sprintf("%s %s is heard again", at, who)
	case store.Sensors:
		if e.Mask == 0 {
			return fmt.Sprintf("%s %s reads all its sensors again", at, who)
		}
		return fmt.Sprintf("%s %s cannot read all its sensors: mask %#b", at, who, e.Mask)
	case store.Settings:
		return fmt.Sprintf("%s %s runs with configuration %.12s, board file %.12s, controller %.12s%s", at, who, e.Config, e.Board, e.Controller, unseen(e))
	case store.Offered:
		return fmt.Sprintf("%s %s has the offer of job %s", at, who, e.Job)
	case store.Releases:
		return fmt.Sprintf("%s %d releases known", at, e.Known)
	}
	return at + " " + string(e.Event)
}

func unseen(e store.Event) string {
	if e.Reason == "" {
		return ""
	}
	return ", and with others before, in the same boot, that nothing was heard of"
}

func remarks(e store.Event) string {
	s := ""
	if e.NewChain {
		s += ", new chain"
	}
	if e.Late {
		s += ", late"
	}
	if !e.Fresh {
		s += ", not fresh"
	}
	if e.Dropped > 0 {
		s += fmt.Sprintf(", %d messages lost by the printer", e.Dropped)
	}
	return s
}
