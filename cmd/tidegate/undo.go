package main

import "errors"

// undo is what has to be taken back, newest first.
type undo struct{ steps []func() error }

func (u *undo) add(step func() error) { u.steps = append(u.steps, step) }

// close takes everything back, whatever fails.
func (u *undo) close() error {
	var errs []error
	for i := len(u.steps) - 1; i >= 0; i-- {
		errs = append(errs, u.steps[i]())
	}
	u.steps = nil
	return errors.Join(errs...)
}

// onError takes everything back if *err is set; for defer.
func (u *undo) onError(err *error) {
	if *err != nil {
		*err = errors.Join(*err, u.close())
	}
}
