package updater

import "errors"

// Why an update was refused. Each is one way to attack or to fail, and has a code
// of its own, see [Code]. After any of them the state is unchanged and the release
// that ran goes on running.
var (
	// ErrRollback reports metadata or a release older than what was seen before.
	ErrRollback = errors.New("the repository went back to something older than this printer has seen")
	// ErrExpired reports metadata past its date: the mirror is frozen, or nobody has
	// published for too long.
	ErrExpired = errors.New("the repository's metadata has expired: publish it again, and check the printer's clock")
	// ErrSignature reports metadata without enough valid signatures.
	ErrSignature = errors.New("the metadata is not signed by enough of the trusted keys")
	// ErrMixed reports metadata files that do not belong together.
	ErrMixed = errors.New("the repository's metadata files do not belong together")
	// ErrMetadata reports metadata that is not well formed, or that breaks a rule of
	// this project.
	ErrMetadata = errors.New("the repository's metadata is not well formed")
	// ErrTooLong reports more bytes than were announced or are allowed.
	ErrTooLong = errors.New("the repository sent more than it may, or a release is larger than update.largest")
	// ErrTruncated reports fewer bytes than were announced.
	ErrTruncated = errors.New("the repository sent less than it announced")
	// ErrSlow reports data that arrives too slowly to ever be whole.
	ErrSlow = errors.New("the repository sends too slowly")
	// ErrTarget reports a file whose contents are not the signed ones.
	ErrTarget = errors.New("the update's contents are not the signed ones")
	// ErrUnknownBoard reports that nothing is published for this board.
	ErrUnknownBoard = errors.New("the repository has no release for this board")
	// ErrUnavailable reports that the repository could not be reached.
	ErrUnavailable = errors.New("the repository cannot be reached")
)

// Why a release cannot be installed here.
var (
	// ErrHardware reports a release for other revisions of the board.
	ErrHardware = errors.New("the release is not for this revision of the board")
	// ErrNoPart reports a release with a part for which this printer is not set up.
	ErrNoPart = errors.New("the release brings a part for which this printer has no place: set [update] up for it")
	// ErrNoWayBack reports a controller whose firmware cannot be kept for going back.
	ErrNoWayBack = errors.New("the controller's firmware cannot be read to be kept: install one by platen controller flash first")
)

// Why a signed release is not enough by itself, and what stands in the way of any.
var (
	// ErrFloor reports that what was seen last cannot be read from, or kept in, the TPM.
	ErrFloor = errors.New("the TPM does not keep what was seen last, without which an old release could come back: see platen doctor")
	// ErrMarks reports that what the TPM keeps of what was seen last is damaged. Until it is
	// repaired by somebody who may, nothing new is believed.
	ErrMarks = errors.New("what the TPM keeps of earlier releases is damaged, and an old one could come back: platen update repair")
	// ErrOwner reports a release that the owner, whose word is asked for, has not approved.
	ErrOwner = errors.New("the owner has not approved this release: platen update approve")
	// ErrLog reports a release without proof that the transparency log has it.
	ErrLog = errors.New("the release is not in the transparency log that this printer asks for")
)

// Why nothing was staged although nothing is wrong.
var (
	// ErrUpToDate reports that nothing newer is published.
	ErrUpToDate = errors.New("the newest release is already running")
	// ErrHeld reports that the printer is busy.
	ErrHeld = errors.New("the printer is busy: the update waits until it is idle")
	// ErrOnTrial reports that the running release has not been confirmed yet.
	ErrOnTrial = errors.New("the running release is still on trial: it has to be confirmed first")
	// ErrUnapproved reports a release under which this printer could open no jobs.
	ErrUnapproved = errors.New("the release brings no approval of this printer's state: approve it (platen-ota approve), then publish")
	// ErrFailedBefore reports that this release already failed its trial here.
	ErrFailedBefore = errors.New("this release failed its trial on this printer: publish a newer one, or have it tried again: platen update forgive")
)

// ErrSlot reports a slot whose contents are not what the slot record says.
var ErrSlot = errors.New("the slot's contents are not what was installed")

var codes = [...]struct {
	err  error
	code string
}{
	{ErrRollback, "rollback"}, {ErrExpired, "expired"}, {ErrSignature, "signature"},
	{ErrMixed, "mixed"}, {ErrMetadata, "metadata"}, {ErrTooLong, "too_long"},
	{ErrTruncated, "truncated"}, {ErrSlow, "slow"}, {ErrTarget, "target"},
	{ErrUnknownBoard, "unknown_board"}, {ErrUnavailable, "unavailable"},
	{ErrUpToDate, "up_to_date"}, {ErrHeld, "held"}, {ErrOnTrial, "on_trial"},
	{ErrUnapproved, "unapproved"}, {ErrMarks, "marks"}, {ErrFloor, "floor"}, {ErrOwner, "owner"}, {ErrLog, "log"}, {ErrFailedBefore, "failed_before"}, {ErrSlot, "slot"},
	{ErrHardware, "hardware"}, {ErrNoPart, "no_part"}, {ErrNoWayBack, "no_way_back"},
}

// Code is the stable, short code of an error of this package for logs, evidence and
// scripts: "rollback", "expired", "signature", … It is "" for nil and "failed" for
// any other error.
func Code(err error) string {
	if err == nil {
		return ""
	}
	for _, c := range codes {
		if errors.Is(err, c.err) {
			return c.code
		}
	}
	return "failed"
}
