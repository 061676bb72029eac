# Every instance has exactly one role; the wing says which in the structured fact `tarmak`.
node default {
  include "role::${facts['tarmak']['role']}"
}
