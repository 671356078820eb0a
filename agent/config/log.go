package config

import "errors"

// Log is a log file that is followed; the first one says how the printer is, of the others
// lines are counted.
type Log struct {
	Path   string `toml:"path"`   // the file that is written to now
	Family string `toml:"family"` // what writes it: see logtail.Families
}

// maxLogs bounds how many logs are followed.
const maxLogs = 8

func (c *Config) checkLogs() error {
	if len(c.Logs) > maxLogs {
		return errors.New("more than 8 logs are not followed")
	}
	for _, l := range c.Logs {
		if l.Path == "" || l.Family == "" {
			return errors.New("log.path or log.family is missing")
		}
	}
	return nil
}
