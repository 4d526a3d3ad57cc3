package config

import "fmt"

// Projections says how the log is folded into tables.
type Projections struct {
	MaxParked int `env:"MAX_PARKED" default:"1000" placeholder:"N" help:"Parked subjects of one school; beyond it all later events of that school are parked, in order. After lowering it, rebuild."`
}

func (p Projections) validate() error {
	if p.MaxParked < 1 {
		return fmt.Errorf("projections-max-parked: %d is less than 1", p.MaxParked)
	}
	return nil
}
