// Package config reads the agent's one configuration file, /etc/platen/platen.toml.
//
// It is TOML, and strict: an unknown key is an error with its line, values carry
// their units ("64MiB", "60s"), and relative paths are taken from the folder of the
// file. What a printer may send, and to whom, is not here: that is a grant its
// owner signs. Start at [Load].
package config

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/BurntSushi/toml"

	"platen/agent/consent"
	"platen/updater/approval"
)

// Path is where the agent looks for its configuration unless told otherwise.
const Path = "/etc/platen/platen.toml"

// Size is a number of bytes, written "64MiB".
type Size int64

// UnmarshalText reads a whole number with a unit of B, KiB, MiB or GiB.
func (s *Size) UnmarshalText(t []byte) error {
	for _, u := range []struct {
		suffix string
		factor int64
	}{{"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30}, {"B", 1}} {
		if digits, ok := strings.CutSuffix(string(t), u.suffix); ok {
			n, err := strconv.ParseInt(strings.TrimSpace(digits), 10, 32)
			if err != nil || n < 0 {
				return fmt.Errorf("%q is not a size: write a whole number and a unit, such as \"64MiB\"", t)
			}
			*s = Size(n * u.factor)
			return nil
		}
	}
	return fmt.Errorf("%q has no unit: write B, KiB, MiB or GiB, such as \"64MiB\"", t)
}

// Duration is a time span, written "60s" or "1h30m".
type Duration time.Duration

// UnmarshalText reads a positive span as time.ParseDuration does.
func (d *Duration) UnmarshalText(t []byte) error {
	v, err := time.ParseDuration(string(t))
	if err != nil || v <= 0 {
		return fmt.Errorf("%q is not a time span: write a number and a unit, such as \"60s\"", t)
	}
	*d = Duration(v)
	return nil
}

// Config is the file. Fields left out have the defaults of [Load].
type Config struct {
	Board        string              `toml:"board"`         // id of a board, or a board file, *.toml; see platen boards
	Device       string              `toml:"device"`        // serial device, instead of the board's
	State        string              `toml:"state"`         // folder for what must survive a restart
	Socket       string              `toml:"socket"`        // the local socket
	Owner        string              `toml:"owner_key"`     // PEM public key of the owner, who signs grants
	Operators    []string            `toml:"operator_keys"` // PEM public keys of operators, who sign tickets
	Approver     string              `toml:"approver_key"`  // PEM public key of who approves states in which jobs are opened; "": any state
	Digests      string              `toml:"digest_key"`    // the owner's key for what recipients are told of files; "": nothing
	Vault        Size                `toml:"vault"`         // locked memory of a session
	MaxJob       Size                `toml:"max_job"`       // largest sealed file held
	TPM          string              `toml:"tpm"`           // "/dev/tpmrm0", or "swtpm:SOCKET" on a rig
	Watchdog     string              `toml:"watchdog"`      // the board's watchdog, such as "/dev/watchdog"; "" is none
	WatchdogTime Duration            `toml:"watchdog_time"` // how long the board lives without it
	Sys          string              `toml:"sys"`           // where sysfs is: "/sys", or a tree of files on a rig
	Dev          string              `toml:"dev"`           // where devices of pins are: "/dev"
	Proc         string              `toml:"proc"`          // where procfs is: "/proc"
	USB          bool                `toml:"usb"`           // read sealed jobs from USB sticks, when somebody asks for it
	AllowSwap    bool                `toml:"allow_swap"`    // take jobs although swap other than zram is on; for desks
	Record       string              `toml:"record"`        // file for what is said at the serial port, without design data; "" is none
	Queue        string              `toml:"queue"`         // "manual": its owner starts each job; "auto": somebody says that the bed is clear
	QueueJobs    int                 `toml:"queue_jobs"`    // how many jobs wait at most
	QueueBytes   Size                `toml:"queue_bytes"`   // how much memory their sealed files take at most
	JobCA        string              `toml:"job_ca"`        // PEM certificates that sources of jobs must chain to; "": the system's
	Fleet        *Fleet              `toml:"fleet"`
	Recipients   []*Fleet            `toml:"recipient"` // further recipients of machine data, each with an enrolment of its own
	Update       *Update             `toml:"update"`
	Logs         []Log               `toml:"log"` // a printer that says how it is in log files, and has no session
	Dir          string              `toml:"-"`   // the folder of the file
	Sum          [32]byte            `toml:"-"`   // SHA-256 of the file and of owner's, approver's and operators' keys, in that order
	OwnerKey     ed25519.PublicKey   `toml:"-"`
	OperatorKeys []ed25519.PublicKey `toml:"-"`
	ApproverKey  *ecdsa.PublicKey    `toml:"-"`
	DigestKey    *consent.DigestKey  `toml:"-"` // nil if there is none
}

// Fleet is an operator's side this printer belongs to: [fleet], or one of [[recipient]].
type Fleet struct {
	Name  string `toml:"name"`  // of a [[recipient]], a-z, 0-9 and "-"; [fleet] has none
	Enrol string `toml:"enrol"` // https URL of the enrolment service
	CA    string `toml:"ca"`    // PEM certificate that it must chain to; it names the broker

	Offers bool   `toml:"offers"` // take offers of jobs from its broker, while the owner grants it anything
	Will   bool   `toml:"will"`   // have its broker tell when the connection breaks off, on the topic that evidence.GoneTopic names
	ALPN   string `toml:"alpn"`   // protocol to ask its broker for, such as "x-amzn-mqtt-ca" on port 443 of AWS IoT Core; "" is none
}

// Load reads and checks the file at path, with the public keys it names.
func Load(path string) (*Config, error) {
	c := &Config{
		State:  "/var/lib/platen",
		Socket: "/run/platen/agent.sock",
		Vault:  64 << 20,
		MaxJob: 256 << 20,
		TPM:    "/dev/tpmrm0",
		Sys:    "/sys",
		Dev:    "/dev",
		Proc:   "/proc",

		WatchdogTime: Duration(time.Minute),

		Queue: "manual", QueueJobs: 8, QueueBytes: 128 << 20,
	}
	text, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("there is no configuration at %s: see README, \"On a board\"", path)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	md, err := toml.Decode(string(text), c)
	if perr, ok := errors.AsType[toml.ParseError](err); ok {
		return nil, fmt.Errorf("%s: %s", path, perr.ErrorWithPosition())
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if extra := md.Undecoded(); len(extra) > 0 {
		return nil, fmt.Errorf("%s: unknown key %q: remove it or correct its name", path, extra[0])
	}
	if c.Dir, err = filepath.Abs(filepath.Dir(path)); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	c.absolute()
	if err := c.check(); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if err := c.keys(); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if c.Sum, err = c.sum(text); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return c, nil
}

// sum is the digest of the file's text and of the keys that it names, one behind the other:
// cat platen.toml owner.pub ... | sha256sum. A key begins with a line that no TOML has, so
// that it is clear what is whose.
func (c *Config) sum(text []byte) (sum [32]byte, err error) {
	h := sha256.New()
	h.Write(text)
	for _, path := range append([]string{c.Owner, c.Approver}, c.Operators...) {
		if path == "" {
			continue
		}
		key, err := os.ReadFile(path)
		if err != nil {
			return sum, err
		}
		h.Write(key)
	}
	return [32]byte(h.Sum(nil)), nil
}

func (c *Config) absolute() {
	paths := []*string{&c.Device, &c.State, &c.Socket, &c.Owner, &c.Approver, &c.Watchdog, &c.Sys, &c.Dev, &c.Proc, &c.Record, &c.JobCA, &c.Digests}
	for i := range c.Operators {
		paths = append(paths, &c.Operators[i])
	}
	for _, f := range c.Fleets() {
		paths = append(paths, &f.CA)
	}
	if strings.HasSuffix(c.Board, ".toml") { // and else an id
		paths = append(paths, &c.Board)
	}
	if c.Update != nil {
		c.Update.fill()
		paths = append(paths, c.Update.paths()...)
	}
	for i := range c.Logs {
		paths = append(paths, &c.Logs[i].Path)
	}
	for _, p := range paths {
		if *p != "" && !filepath.IsAbs(*p) {
			*p = filepath.Join(c.Dir, *p)
		}
	}
	if kind, path, ok := strings.Cut(c.TPM, ":"); ok && !filepath.IsAbs(path) {
		c.TPM = kind + ":" + filepath.Join(c.Dir, path)
	}
}

func (c *Config) check() error {
	need := func(key, value string) error {
		if value == "" {
			return fmt.Errorf("%s is missing", key)
		}
		return nil
	}
	errs := []error{need("board", c.Board)}
	if c.Vault < 1<<20 {
		errs = append(errs, errors.New("vault is below 1MiB, too small for any model"))
	}
	if t := time.Duration(c.WatchdogTime); t < 15*time.Second || t > 10*time.Minute {
		errs = append(errs, errors.New("watchdog_time is outside 15s to 10m: shorter than an agent takes to start, or too long to matter"))
	}
	if c.MaxJob < 1<<10 {
		errs = append(errs, errors.New("max_job is below 1KiB: no sealed file is that small"))
	}
	if c.Queue != "manual" && c.Queue != "auto" {
		errs = append(errs, errors.New("queue is neither \"manual\" nor \"auto\""))
	}
	if c.QueueJobs < 0 || c.QueueJobs > 256 {
		errs = append(errs, errors.New("queue_jobs is not 0 to 256"))
	}
	errs = append(errs, c.checkFleets(), c.checkLogs())
	if u := c.Update; u != nil {
		errs = append(errs, u.check(need)...)
		errs = append(errs, u.locks(c.Owner)...)
	}
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

func (c *Config) keys() error {
	if c.Owner != "" {
		k, err := consent.LoadPub(c.Owner)
		if err != nil {
			return fmt.Errorf("owner_key: %w", err)
		}
		c.OwnerKey = k
	}
	if c.Digests != "" {
		k, err := consent.LoadDigestKey(c.Digests)
		if err != nil {
			return fmt.Errorf("digest_key: %w", err)
		}
		c.DigestKey = k
	}
	if c.Approver != "" {
		k, err := approval.LoadPub(c.Approver)
		if err != nil {
			return fmt.Errorf("approver_key: %w", err)
		}
		c.ApproverKey = k
	}
	for _, path := range c.Operators {
		k, err := consent.LoadPub(path)
		if err != nil {
			return fmt.Errorf("operator_keys: %w", err)
		}
		c.OperatorKeys = append(c.OperatorKeys, k)
	}
	return nil
}
