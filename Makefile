# Platen: see README.md. Everything that is made lands in build/.

SHELL   := /bin/sh
VERSION ?= 0.1.0
RELEASE ?= 0
MODEL   ?=
GOFLAGS_DEVICE = -tags nethttpomithttp2 -trimpath -ldflags "-s -w -X platen/agent/cli.version=$(VERSION) -X platen/agent/cli.release=$(RELEASE)"
COMMANDS = agent/cmd/platen agent/cmd/platen-fleet updater/cmd/platen-ota hal/cmd/platen-sim slicer/cmd/platen-slice
# What runs on a printer; simulators, the fleet's side and the desk's tools do not.
ARM_PACKAGES = $(shell go list ./hal/... ./slicer/... ./boards/... ./updater/... ./agent/... | grep -Ev '/(fleet|publish|updatertest|haltest|sim|check|prusa|cmd|internal|securetest|loadertest)(/|$$)|/cmd/')

# CI has twenty minutes for everything: of 64 bits what speaks to the kernel or computes in floating point (cross/qemu
# compares all of a slice), and of 32 not what takes longest there, for it waits.
ARM64_SHORT = $(addprefix ./,agent/confine agent/durable agent/evidence hal/serial hal/sensor hal/unit slicer/vault slicer/fill updater/slot updater/delta)
ARM_LONG = $(addprefix platen/,hal/grbl hal/repetier hal/reprap hal/driver hal/flash agent agent/telemetry agent/uplink agent/session)

.PHONY: image all build demo prove-ram prove-acme prove-privacy prove-evidence prove-update test test-arm cross release deb bench soak lint vuln man tools clean

all: build

build: ## all commands for this machine, in build/bin
	@mkdir -p build/bin
	CGO_ENABLED=0 go build $(GOFLAGS_DEVICE) -o build/bin/ $(addprefix ./,$(COMMANDS))

demo: build ## one job and one update from end to end; MODEL=part.stl prints yours
	@cross/tools.sh swtpm
	@CGO_ENABLED=0 go build -trimpath -o build/bin/ filippo.io/age/cmd/age ./cross/rig/demo
	@for n in 1 2 3; do $(MAKE) -s build/bin/platen-release-$$n; done
	@build/bin/demo $(if $(MODEL),-model "$(MODEL)")

prove-ram: build ## shows that a model is in the memory of one process only; needs root
	@cross/tools.sh swtpm strace mkfs.ext4
	@CGO_ENABLED=0 go build -trimpath -o build/bin/ filippo.io/age/cmd/age ./cross/prove
	@build/bin/prove $(PROVE)

prove-update: build ## shows that no power cut and no kill leaves a printer that does not boot: every state; a real ext4 if root
	@mkdir -p build/bin
	@CGO_ENABLED=0 go build -trimpath -o build/bin/prove-update ./cross/proveupdate
	@build/bin/prove-update -platen build/bin/platen $(PROVE)
	@CGO_ENABLED=0 go test -c -o build/bin/prove-controllers ./cross/proveupdate
	@PLATEN_PROVE_STATES=10000 build/bin/prove-controllers -test.v -test.timeout 2h -test.run '^TestControllers' >build/prove-controllers.log || { cat build/prove-controllers.log; exit 1; }
	@sed -n 's/^ *[a-z]*_test.go:[0-9]*: /ok      /p' build/prove-controllers.log

prove-evidence: build ## shows that nothing a broker does to evidence goes unnoticed, and that kills lose none
	@cross/tools.sh swtpm mosquitto
	@CGO_ENABLED=0 go build -trimpath -o build/bin/prove-evidence ./cross/prove/evidence
	@build/bin/prove-evidence $(PROVE)

prove-acme: ## shows that a printer gets its certificate from a real step-ca, by what its TPM states
	@cross/tools.sh swtpm step-ca
	go test -count=1 -v -run 'TestStepCA$$' ./agent/fleet

prove-privacy: build ## shows that what a recipient is sent does not help to copy a part: T-P1 to T-P6
	@CGO_ENABLED=0 go test -c -o build/bin/prove-privacy ./cross/privacy
	@cd cross/privacy && ../../build/bin/prove-privacy -test.run '^TestProve$$' -test.timeout 2h -full -platen ../../build/bin/platen

build/bin/platen-release-%: build
	@CGO_ENABLED=0 go build -tags nethttpomithttp2 -trimpath -ldflags "-s -w -X platen/agent/cli.version=$(VERSION) -X platen/agent/cli.release=$*" -o $@ ./agent/cmd/platen

test: ## all tests; the outside peers they need are fetched into build/tools
	@cross/tools.sh swtpm mosquitto qemu-arm printcore strace mkfs.ext4 tpm2_checkquote mosquitto_sub cbor2 || [ -z "$$CI" ]
	@cross/test.sh

test-arm: ## unit tests as ARM machines run them, of 32 and of 64 bits
	@cross/tools.sh qemu-arm
	@cross/test-arm.sh arm $(if $(CI),$(filter-out $(ARM_LONG),$(ARM_PACKAGES)),$(ARM_PACKAGES))
	@cross/test-arm.sh arm64 $(if $(CI),$(ARM64_SHORT),$(ARM_PACKAGES))

cross: ## the device binary for every target of cross/targets, with its size; TWICE=-twice: and that two builds are the same
	@go run ./cross/targets/build -version "$(VERSION)" -release "$(RELEASE)" $(if $(CI),-target armv7,$(TWICE))

image: ## what a board boots from: BOARD=qemu-arm64, in build/image; IMAGE=-approver=KEY and more, see cross/image/mkimage
	@cross/tools.sh mkfs.ext4
	@go run ./cross/image/mkimage -version "$(VERSION)" -release "$(or $(filter-out 0,$(RELEASE)),1)" $(IMAGE) $(or $(BOARD),qemu-arm64)

rig: build ## a whole virtual ARM printer: boot, print, updates, power cuts; logs in build/rig; RIG=-short leaves updates out, RIG='-run NAME' all but one; RIG='-firmware efi': EDK2, not U-Boot
	@cross/tools.sh swtpm qemu-system-aarch64 $(if $(findstring efi,$(RIG)),AAVMF_CODE.fd,u-boot.bin) mkfs.ext4
	@CGO_ENABLED=0 go build -trimpath -o build/bin/ filippo.io/age/cmd/age ./cross/hil/rig
	@build/bin/rig $(RIG)

hil: ## the same on a real board: BOARD=FILE, see cross/hil/testdata/board.toml
	@if [ -z "$(BOARD)" ]; then echo "hil: skipped: no board is named: BOARD=FILE, as cross/hil/testdata/board.toml"; else $(MAKE) -s rig RIG='-board $(BOARD)'; fi

rig-deps: ## the Debian packages that make rig needs; what is missing it unpacks into build/tools by itself
	@echo swtpm swtpm-tools qemu-system-arm u-boot-qemu e2fsprogs qemu-efi-aarch64

release: ## what release RELEASE=N consists of, in OUT (build/release/N); KEY=file signs the provenance, BOARD=qemu-arm64 adds its image
	@BOARD="$(BOARD)" cross/release.sh "$(VERSION)" "$(RELEASE)" "$(or $(OUT),build/release/$(RELEASE))" $(KEY)

deb: ## a Debian package for ARCH (arm64, armhf, armel, amd64) in build/deb
	@cross/deb.sh "$(or $(ARCH),arm64)" "$(VERSION)" "$(RELEASE)"

bench: ## benchmarks as a table, and other slicers that are installed beside ours
	@cross/bench.sh

soak: ## long property tests and fuzzing
	cross/soak.sh

lint: ## gofmt, vet, staticcheck
	@test -z "$$(gofmt -l $$(git ls-files '*.go'))" || { gofmt -l $$(git ls-files '*.go'); exit 1; }
	go vet ./...
	go tool staticcheck ./...

vuln: ## known vulnerabilities in what is linked (needs the vulnerability database)
	go run golang.org/x/vuln/cmd/govulncheck@v1.5.0 ./...

man: build ## manual pages in build/man
	@mkdir -p build/man
	@for c in $(notdir $(COMMANDS)); do build/bin/$$c man > build/man/$$c.1; done

tools:
	@cross/tools.sh swtpm mosquitto qemu-arm printcore strace mkfs.ext4 tpm2_checkquote mosquitto_sub cbor2

clean:
	rm -rf build
