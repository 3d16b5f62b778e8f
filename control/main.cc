// sluiced, the daemon. Everything is in app/.
#include "control/app/options.hh"
#include "control/app/standard_streams.hh"

int main(int argc, char** argv) {
    if (!sluice::app::open_standard_streams()) return 1;  // nothing is left to say it on
    return sluice::app::run_sluiced(argc, argv, SLUICE_VERSION);
}
