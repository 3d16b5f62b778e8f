// Descriptors 0, 1 and 2. Whoever starts a program may leave them closed; then the next descriptor that the program
// opens gets the number, and log lines go into a client's connection.
//
// Called first of all in main(). Failure policy: false when /dev/null cannot be opened.
#pragma once

namespace sluice::app {

/// Opens /dev/null on those of the standard descriptors that are closed.
[[nodiscard]] bool open_standard_streams() noexcept;

}  // namespace sluice::app
