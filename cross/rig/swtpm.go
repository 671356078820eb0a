package rig

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/user"
	"path/filepath"
	"strings"
)

// Swtpm is a software TPM 2.0 that runs, made as a real one is: with RSA-2048 and
// P-384 endorsement keys whose certificates a local authority has signed.
type Swtpm struct {
	// Socket is the unix socket that takes raw TPM commands.
	Socket string
	// CAs are the PEM files of the authority that signed the endorsement keys'
	// certificates: its root and its issuer.
	CAs []string

	dir     string
	sockDir string
	machine bool // for a virtual machine, which brings its own data connection
	tool    tool
	run     *child
}

// Path is the TPM's path as agent/attest takes it.
func (s *Swtpm) Path() string { return "swtpm:" + s.Socket }

// StartSwtpm makes a TPM below dir, unless one is there already, and runs it until
// Stop or the end of ctx. Its state stays in dir; the sockets lie in a short folder
// of their own, because a unix socket's path has at most 107 bytes.
func StartSwtpm(ctx context.Context, dir string) (*Swtpm, error) {
	return startSwtpm(ctx, dir, false)
}

// StartMachineSwtpm is StartSwtpm for a virtual machine: Socket is the control socket that QEMU
// connects to (-chardev socket, -tpmdev emulator), and nobody else can.
func StartMachineSwtpm(ctx context.Context, dir string) (*Swtpm, error) {
	return startSwtpm(ctx, dir, true)
}

func startSwtpm(ctx context.Context, dir string, machine bool) (*Swtpm, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("start swtpm: %w", err)
	}
	swtpm, err := find("swtpm")
	if err != nil {
		return nil, err
	}
	s := &Swtpm{dir: dir, machine: machine, tool: swtpm, CAs: []string{
		filepath.Join(dir, "ca", "swtpm-localca-rootca-cert.pem"), filepath.Join(dir, "ca", "issuercert.pem")}}
	if _, err := os.Stat(s.CAs[1]); err != nil {
		if err := s.manufacture(ctx); err != nil {
			return nil, err
		}
	}
	if s.sockDir, err = os.MkdirTemp("", "pltpm"); err != nil {
		return nil, fmt.Errorf("start swtpm: %w", err)
	}
	s.Socket = filepath.Join(s.sockDir, "tpm")
	if err := s.start(ctx); err != nil {
		return nil, errors.Join(err, os.RemoveAll(s.sockDir))
	}
	return s, nil
}

func (s *Swtpm) start(ctx context.Context) error {
	return s.startWith(ctx, "not-need-init,startup-clear")
}

func (s *Swtpm) startWith(ctx context.Context, flags string) error {
	args := []string{"socket", "--tpm2", "--tpmstate", "dir=" + filepath.Join(s.dir, "state"), "--flags", flags}
	if s.machine {
		args = append(args, "--ctrl", "type=unixio,path="+s.Socket)
	} else {
		args = append(args, "--server", "type=unixio,path="+s.Socket, "--ctrl", "type=unixio,path="+s.Socket+".ctrl")
	}
	run, err := s.tool.start(ctx, filepath.Join(s.dir, "swtpm.log"), args...)
	if err != nil {
		return err
	}
	err = run.ready(ctx, func() error {
		if s.machine {
			return listens(s.Socket)
		}
		conn, err := net.Dial("unix", s.Socket)
		if err != nil {
			return err
		}
		return conn.Close()
	})
	if err != nil {
		run.stop()
		return err
	}
	s.run = run
	return nil
}

// listens reports whether somebody listens at a unix socket, without a connection: swtpm's
// control socket takes one, which is QEMU's, and its file is there before anybody listens.
func listens(path string) error {
	const accepts = " 00010000 " // __SO_ACCEPTCON in the flags, which stand for nothing else there
	table, err := os.ReadFile("/proc/net/unix")
	if err != nil {
		return err
	}
	for line := range strings.Lines(string(table)) {
		if strings.HasSuffix(strings.TrimSuffix(line, "\n"), " "+path) && strings.Contains(line, accepts) {
			return nil
		}
	}
	return fmt.Errorf("nobody listens at %s", path)
}

// Reset does to the TPM what a reset of its machine does: PCRs begin anew, what is
// in NV stays. Connections to it end.
func (s *Swtpm) Reset(ctx context.Context) error {
	s.run.stop()
	return s.start(ctx)
}

// ResetUnstarted is Reset of the TPM alone: nobody starts it again, as firmware does.
func (s *Swtpm) ResetUnstarted(ctx context.Context) error {
	s.run.stop()
	return s.startWith(ctx, "not-need-init")
}

// Stop ends the TPM. Its state stays, so StartSwtpm with the same folder brings the
// same TPM back.
func (s *Swtpm) Stop() error {
	s.run.stop()
	return os.RemoveAll(s.sockDir)
}

// manufacture runs swtpm_setup with configurations of our own, so that nothing of
// the system's is read or written.
func (s *Swtpm) manufacture(ctx context.Context) error {
	setup, err := find("swtpm_setup")
	if err != nil {
		return err
	}
	localca, err := find("swtpm_localca")
	if err != nil {
		return err
	}
	for _, name := range []string{"certtool", "swtpm_cert"} {
		if _, err := find(name); err != nil { // swtpm_localca calls them
			return err
		}
	}
	config, err := s.writeConfigs(localca)
	if err != nil {
		return err
	}
	args := []string{"--tpm2", "--tpmstate", filepath.Join(s.dir, "state"), "--create-ek-cert",
		"--pcr-banks", "sha256", "--overwrite", "--config", config,
		"--tpm", s.tool.path + " socket", "--logfile", filepath.Join(s.dir, "setup.log")}
	if os.Geteuid() == 0 { // as root it would change to user tss, who may not write here
		me, err := user.Current()
		if err != nil {
			return fmt.Errorf("make a TPM: %w", err)
		}
		args = append(args, "--runas", me.Username)
	}
	cmd := setup.command(ctx, args...)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("make a TPM with swtpm_setup: %w: %s %s", err,
			strings.TrimSpace(string(out)), lastLines(filepath.Join(s.dir, "setup.log")))
	}
	return nil
}

func (s *Swtpm) writeConfigs(localca tool) (string, error) {
	ca := filepath.Join(s.dir, "ca")
	files := map[string]string{
		"swtpm_setup.conf": fmt.Sprintf("create_certs_tool = %s\ncreate_certs_tool_config = %s\ncreate_certs_tool_options = %s\nactive_pcr_banks = sha256\n",
			localca.path, filepath.Join(s.dir, "localca.conf"), filepath.Join(s.dir, "localca.options")),
		"localca.conf": fmt.Sprintf("statedir = %s\nsigningkey = %s\nissuercert = %s\ncertserial = %s\n",
			ca, filepath.Join(ca, "signkey.pem"), filepath.Join(ca, "issuercert.pem"), filepath.Join(ca, "certserial")),
		"localca.options": "--platform-manufacturer Platen\n--platform-version 1\n--platform-model rig\n",
	}
	for _, dir := range []string{ca, filepath.Join(s.dir, "state")} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return "", fmt.Errorf("make a TPM: %w", err)
		}
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(s.dir, name), []byte(text), 0o600); err != nil {
			return "", fmt.Errorf("make a TPM: %w", err)
		}
	}
	return filepath.Join(s.dir, "swtpm_setup.conf"), nil
}
