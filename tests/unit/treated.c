#include "treated.h"

struct rig rig;
uint32_t boot_id; /* of the life in which the run began */

void start(uint32_t depth_um)
{
    rig_start(&rig);
    rig_say(&rig, "cartridge insert uid=1a max_depth_um=2500");
    rig_run(&rig, 50);
    rig_set(&rig, SETTING_depth_um, depth_um);
    rig_arm(&rig);
    rig_say(&rig, "trigger press");
    rig_run(&rig, 1500);
    boot_id = rig.v.pen.boot_id;
    assert_int_equal(rig.v.pen.state, mnp_State_STATE_RUNNING);
    assert_int_equal(rig.v.pen.faults.word, 0);
}

mnp_RunRecord last_run(void)
{
    mnp_Record r = mnp_Record_init_zero;

    assert_true(records_newest_run(&rig.v.port, &rig.v.pen.records, &r));
    assert_int_equal(r.kind, mnp_RecordKind_RECORD_RUN);
    return r.body.run;
}
