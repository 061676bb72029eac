# The address of this instance, as `site::hosts` has it; its own name if it is not listed there.
function site::address() >> Stdlib::Host {
  $instance = $facts['tarmak']['instance']
  pick(lookup('site::hosts').dig($instance, 'address'), $instance)
}
