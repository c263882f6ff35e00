//! Persons of the EMS: made and changed in set-based SQL.

use tokio_postgres::Client;

/// Makes so many persons.
pub(crate) async fn make(ems: &Client, people: u32) -> anyhow::Result<()> {
    ems.batch_execute(&format!(
        "insert into ems.person (first_name, last_name, email, phone, date_of_birth, gender, address_line, city,
                                 medical_conditions)
         select (array['Thandi', 'Ngũgĩ', 'Zoë', 'Søren', '美咲', 'Олена', 'محمد'])[1 + n % 7], 'Runner ' || n,
                'runner' || n || '@ems.example', '+2782' || lpad(n::text, 7, '0'), date '1950-01-01' + n % 20000,
                (array['FEMALE', 'MALE', 'UNKNOWN'])[1 + n % 3], n || ' Long Street', 'Cape Town', 'none'
         from generate_series(1, {people}) n;
         analyze ems.person;"
    ))
    .await?;
    Ok(())
}

/// Changes what TagServer is told of persons up to an id, in one transaction.
pub(crate) async fn rename(ems: &Client, up_to: u32, label: &str) -> anyhow::Result<()> {
    let sql = format!("update ems.person set last_name = '{label} ' || id where id <= {up_to}");
    Ok(ems.batch_execute(&sql).await?)
}

/// Changes what TagServer is not told.
pub(crate) async fn readdress(ems: &Client, label: &str) -> anyhow::Result<()> {
    let sql = format!("update ems.person set email = '{label}.' || id || '@ems.example'");
    Ok(ems.batch_execute(&sql).await?)
}
