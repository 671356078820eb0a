package session

import (
	"errors"

	"platen/agent/seam"
	"platen/boards"
	"platen/slicer"
	"platen/slicer/profile"
)

// errProfile reports settings that came with a job and are not for it. What is wrong
// with them is not said: they belong to the job.
var errProfile = errors.New("the job's profile does not fit")

// note keeps a piece of the profile of the job that is to come.
func (s *session) note(p *seam.Profile) {
	if len(s.profile) <= seam.MostProfile { // one piece more is too much, and is refused
		s.profile = append(s.profile, p.Text...)
	}
}

// settings are those of the board with the job's profile over them, and the board that
// heats to its temperatures. The machine is as the board says, whatever a profile says
// of it. How a sealed model is placed, and how often, is not for others to say.
func (s *session) settings(sealed bool) (slicer.Settings, *boards.Board, error) {
	b := s.cfg.Board
	own, err := settingsOf(b)
	if err != nil || s.profile == nil {
		return own, b, err
	}
	var without []slicer.Section
	if sealed {
		without = []slicer.Section{slicer.Model}
	}
	set := own
	if err := profile.Apply(&set, "profile", s.profile, without...); err != nil {
		return own, nil, errProfile
	}
	slicer.CopySection(&set, &own, slicer.Printer)
	if set.Validate() != nil {
		return own, nil, errProfile
	}
	hot, err := b.Heated(set.FirstHotEnd, set.HotEnd, set.FirstBed, set.Bed)
	if err != nil {
		return own, nil, errProfile
	}
	return set, hot, nil
}
